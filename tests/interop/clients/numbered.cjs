// Numbered messages, one each `pause` seconds, and how many of them came back.
const LATE = 30; // seconds that the last ones get to come back, on a busy machine, too
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

exports.say = async ({ count, pause, send, onMessage }) => {
  const missing = new Set(Array(Number(count)).keys());
  onMessage((message) => missing.delete(Buffer.from(message).readUInt16BE()));
  for (let number = 0; number < count; number++) {
    const message = Buffer.alloc(160);
    message.writeUInt16BE(number);
    send(message);
    if (Number(pause)) await sleep(pause);
  }
  for (let waited = 0; missing.size && waited < LATE; waited++) await sleep(1);
  if (missing.size) console.log(`lost: ${[...missing].join(" ")}`);
  return count - missing.size;
};
