// The two ways that words and pictures take to the partner: the channel between the browsers, or the server.
// Few bytes of a picture are on their way at a time (`window`): no line waits long behind a picture.

const KIB = 1024;
const PATIENCE = 20_000; // ms in which the server says that it has passed a line on

export function overChannel(channel) {
  const message = (said) => channel.send(said);
  return {
    via: "channel",
    piece: 16 * KIB,
    window: 64 * KIB,
    ready: () => channel.open,
    message,
    say: (id, text) => message({ type: "text", id, text }),
    chunk: (bytes) => channel.sendChunk(bytes),
  };
}

// `send` and `chunk` are those of the signalling.
export function throughServer(call, send, chunk) {
  const message = (said) => send({ ...said, call });
  return {
    via: "server",
    piece: 48 * KIB, // the server passes on no larger ones, and two at a time
    window: 96 * KIB,
    patience: PATIENCE,
    ready: () => true,
    message,
    say: (id, text) => message({ type: "text", text, id: `t${id}` }),
    chunk,
  };
}

// The number of a line in the id that the server has got for it.
export function numberIn(id) {
  return Number(String(id ?? "").slice(1));
}
