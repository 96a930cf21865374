// The page for those without a connection: kept by a service worker, which is installed in the first call.

export function keepOfflinePage() {
  navigator.serviceWorker?.register("/worker.js").catch(() => {}); // a private window may refuse it: then there is none
}
