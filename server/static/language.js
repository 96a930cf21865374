// The words of the page in its language. As in gettext, the script holds the English text.

export const language = document.documentElement.lang;

// In a bundle a text is the number of its place in this list, which the server writes before the bundle, in the language of the
// page. Where numbers are said, it is category of the number -> text. Without a bundle a text is itself.
const texts = typeof TEXTS === "undefined" ? [] : TEXTS;
const plurals = new Intl.PluralRules(language);
const digits = new Intl.NumberFormat(language, { numberingSystem: "latn", maximumFractionDigits: 0 });

// `{name}` in a text stands for the value of that name.
function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (typeof values[name] === "number" ? digits.format(values[name]) : values[name] ?? whole));
}

export function _(text, values = {}) {
  return fill(texts[text] ?? text, values);
}

// `{number}` stands for the number.
export function ngettext(one, many, number, values = {}) {
  const forms = texts[one] ?? { one, other: many };
  return fill(forms[plurals.select(number)] ?? forms.other, { number, ...values });
}

// The links that change the language keep the rest of the address: a link to a call, or relay=1.
for (const link of document.querySelectorAll(".languages a")) {
  link.addEventListener("click", () => {
    const wanted = new URL(location.href);
    wanted.searchParams.set("lang", link.lang);
    link.href = wanted.href;
  });
}
