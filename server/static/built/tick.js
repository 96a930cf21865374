setInterval(()=>postMessage(null),5e3);
