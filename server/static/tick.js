// A clock for hidden tabs: there browsers slow the timers of a page down to one a minute, but not those of a worker.
setInterval(() => postMessage(null), 5000);
