// During a call the browser asks before it leaves the page, and links open elsewhere.

// `talking`: whether there is a call to lose.
export function setUpLeaving(talking) {
  addEventListener("beforeunload", (event) => {
    if (talking()) event.preventDefault();
  });
  document.addEventListener("click", (event) => point(event.target.closest?.("a[href]"), talking()), true);
}

function point(link, elsewhere) {
  if (!link || link.hash && link.pathname === location.pathname) return; // a place on this page
  link.target = elsewhere ? "_blank" : "";
  link.rel = elsewhere ? "noopener" : "";
}
