"use strict";
// Without this script every case and every link works; it adds the filter and lights up what belongs together.
(() => {
  const byId = (id) => document.getElementById(id);
  const cases = [...document.querySelectorAll(".case")];
  const wanted = byId("wanted"), state = byId("state"), field = byId("field");
  document.documentElement.classList.add("js");
  byId("filter").hidden = false;

  // --- a statement and its words ---
  const marksOf = (reading, number) =>
    [...reading.querySelectorAll("mark")].filter((mark) => mark.dataset.of.split(" ").includes(number));

  const light = (reading, link) => {
    for (const one of reading.querySelectorAll(".on")) one.classList.remove("on");
    if (!link) return [];
    link.classList.add("on");
    const marks = link.dataset.statement === undefined
      ? [byId(link.hash.slice(1))]
      : marksOf(reading, link.dataset.statement);
    for (const mark of marks) mark.classList.add("on");
    return marks;
  };

  const bringInto = (box, part) => {
    const outer = box.getBoundingClientRect(), inner = part.getBoundingClientRect();
    if (inner.top < outer.top + 16 || inner.bottom > outer.bottom - 16) {
      box.scrollTop += inner.top - outer.top - box.clientHeight / 3;
    }
    if (outer.bottom < 40 || outer.top > innerHeight - 40) box.scrollIntoView({ block: "nearest" });
  };

  const kept = new WeakMap(); // the statement chosen in a case, which stays lit when the pointer leaves
  const choose = (link) => {
    const reading = link.closest(".reading");
    kept.set(reading, link);
    const [first] = light(reading, link);
    if (first) bringInto(reading.querySelector(".text"), first);
  };
  const LINK = "[data-statement], [data-place]";

  document.addEventListener("click", (event) => {
    const link = event.target.closest(LINK), mark = event.target.closest("mark[data-of]");
    if (link) {
      event.preventDefault();
      choose(link);
    } else if (mark) {
      // Of several statements, the shortest quote is the most particular.
      const reading = mark.closest(".reading");
      const links = mark.dataset.of.split(" ").map((number) => reading.querySelector(`[data-statement="${number}"]`));
      const length = (one) => marksOf(reading, one.dataset.statement).reduce((sum, part) => sum + part.textContent.length, 0);
      const chosen = links.filter(Boolean).sort((one, other) => length(one) - length(other))[0];
      if (!chosen) return;
      choose(chosen);
      chosen.focus({ preventScroll: true });
      if (getComputedStyle(reading).gridTemplateColumns.includes(" ")) chosen.scrollIntoView({ block: "nearest" });
    }
  });
  document.addEventListener("focusin", (event) => {
    const link = event.target.closest(LINK);
    if (link) choose(link);
  });
  document.addEventListener("mouseover", (event) => {
    const link = event.target.closest(LINK);
    if (!link) return;
    const reading = link.closest(".reading");
    const [first] = light(reading, link);
    if (first) bringInto(reading.querySelector(".text"), first);
  });
  document.addEventListener("mouseout", (event) => {
    const link = event.target.closest(LINK);
    if (link) light(link.closest(".reading"), kept.get(link.closest(".reading")));
  });
  document.addEventListener("keydown", (event) => {
    const link = event.target.closest(LINK), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!link || !step) return;
    const links = [...link.closest(".reading").querySelectorAll(LINK)];
    const next = links[links.indexOf(link) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });

  // --- which cases are shown ---
  const has = (list, name) => (name ? list.split(" ").includes(name) : list !== "");
  const fits = ({ dataset }) => {
    const text = wanted.value.trim().toLowerCase();
    if (text && !dataset.case.toLowerCase().includes(text)) return false;
    switch (state.value) {
      case "": return !field.value || has(dataset.stated, field.value);
      case "silent": return !field.value || !has(dataset.stated, field.value);
      case "outcome": case "order": return dataset[state.value] !== "0";
      default: return has(dataset[state.value], field.value);
    }
  };
  const apply = () => {
    let shown = 0;
    for (const one of cases) {
      one.hidden = !fits(one);
      shown += one.hidden ? 0 : 1;
    }
    byId("found").textContent = `${shown} of ${cases.length} cases shown`;
    byId("nobody").hidden = shown > 0;
    const only = cases.filter((one) => !one.hidden);
    if (only.length === 1) only[0].open = true;
  };
  for (const control of [wanted, state, field]) control.addEventListener("input", apply);
  byId("clear").addEventListener("click", () => {
    wanted.value = state.value = field.value = "";
    apply();
  });
  byId("open").addEventListener("click", () => {
    for (const one of cases) if (!one.hidden) one.open = true;
  });
  for (const button of document.querySelectorAll("button[data-field]")) {
    button.addEventListener("click", () => {
      wanted.value = "";
      field.value = button.dataset.field;
      state.value = button.dataset.state;
      apply();
      byId("cases").scrollIntoView();
      state.focus({ preventScroll: true });
    });
  }
  apply();
})();
