// A clock that goes on in hidden tabs: browsers slow the timers of such pages to one a minute, those of workers not.
setInterval(() => postMessage(null), 5000);
