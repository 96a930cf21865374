// Web addresses in what people write become links. They are shown as they are written, and lead nowhere else.

const ADDRESS = /https?:\/\/[^\s<>"]+/gi;
const BEHIND = /[.,;:!?'")\]}…]+$/; // ends the sentence, not the address

function link(address) {
  return Object.assign(document.createElement("a"), {
    href: address,
    textContent: address,
    target: "_blank",
    rel: "noopener noreferrer nofollow",
  });
}

// The parts of a text: strings and links.
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = found.replace(BEHIND, "");
    if (!URL.canParse(address)) continue;
    parts.push(text.slice(end, index), link(address));
    end = index + address.length;
  }
  return [...parts, text.slice(end)];
}
