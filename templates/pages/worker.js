// The service worker: it shows a page of its own when the server cannot be reached. It keeps nothing else, so nobody ever
// sees an old call page.

const CACHE = "calln-{{ version }}";
const FILES = ["/offline", "{{ static(icon) }}"];

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
  await skipWaiting();
}

async function forgetOlder() {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
}

// A page that is loaded comes from the server, or says that there is none.
function page(request) {
  return fetch(request).catch(() => caches.match("/offline"));
}

async function file(request) {
  return (await caches.match(request)) ?? fetch(request);
}

addEventListener("install", (event) => event.waitUntil(keep()));
addEventListener("activate", (event) => event.waitUntil(forgetOlder()));
addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (FILES.includes(new URL(request.url).pathname)) event.respondWith(file(request));
});
