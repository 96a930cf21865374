// The words of the page in its language. As in gettext, the English text in the script is the key.

export const language = document.documentElement.lang;

// Key of an English text -> the text in the language of the page, or, where numbers are said, category of the number -> text.
const catalog = JSON.parse(document.getElementById("catalog")?.textContent ?? "{}");
const plurals = new Intl.PluralRules(language);
const digits = new Intl.NumberFormat(language, { numberingSystem: "latn", maximumFractionDigits: 0 });

// `{name}` in a text stands for the value of that name.
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (typeof values[name] === "number" ? digits.format(values[name]) : values[name] ?? whole));
}

// FNV-1a of 32 bits, as the server makes it.
function keyOf(text) {
  let key = 0x811c9dc5;
  for (const letter of text) key = Math.imul(key ^ letter.codePointAt(0), 0x01000193);
  return (key >>> 0).toString(16);
}

export function _(text, values = {}) {
  return fill(catalog[keyOf(text)] ?? text, values);
}

// `{number}` stands for the number.
export function ngettext(one, many, number, values = {}) {
  const forms = catalog[keyOf(one)];
  const english = number === 1 ? one : many;
  return fill(forms ? forms[plurals.select(number)] ?? forms.other : english, { number, ...values });
}

// The links that change the language keep the rest of the address: a link to a call, or relay=1.
for (const link of document.querySelectorAll(".languages a")) {
  link.addEventListener("click", () => {
    const wanted = new URL(location.href);
    wanted.searchParams.set("lang", link.lang);
    link.href = wanted.href;
  });
}
