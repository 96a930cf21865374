// Block, and Report with its reasons: for somebody who meets the wrong person.

import { at } from "./view.js";

// Block and the safety code work during a call, Report a while longer.
export function showGuard({ block, report, safety }) {
  at("block").hidden = !block;
  at("report").hidden = !report;
  at("safety").hidden = !safety;
}

// Calls report(reason) and block().
export function setUpGuard({ report, block }) {
  showGuard({ block: false, report: false, safety: false });
  at("block").addEventListener("click", block);
  at("report").addEventListener("click", ask);
  at("reporting").addEventListener("close", () => answered(report));
}

function ask() {
  at("reporting").returnValue = ""; // Escape leaves it so
  at("reporting").showModal();
}

function answered(report) {
  if (at("reporting").returnValue !== "send") return;
  report(document.querySelector("input[name=reason]:checked").value);
}
