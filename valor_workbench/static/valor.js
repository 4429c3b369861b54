// Uploads as streams, names for the pictures of the views, values under the pointer in the chart.
(function () {
  "use strict";
  function status(text) {
    const place = document.getElementById("valor-upload-status");
    if (place) place.textContent = text;
  }
  async function answer(response) {
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(body.error || "The upload failed; try again.");
    return body;
  }
  async function upload(input) {
    const batch = Math.random().toString(36).slice(2, 14);
    const folder = input.hasAttribute("webkitdirectory") ? "1" : "0";
    const files = Array.from(input.files);
    try {
      for (let n = 0; n < files.length; n++) {
        status("Uploading " + files[n].name + " (" + (n + 1) + " of " + files.length + ")");
        const query = new URLSearchParams({ name: files[n].name, batch: batch, folder: folder });
        await answer(await fetch("/upload?" + query, { method: "POST", body: files[n] }));
      }
      status("Opening ...");
      await answer(await fetch("/upload/done?batch=" + batch, { method: "POST" }));
      status("");
    } catch (error) {
      status(error.message);
    }
    input.value = "";
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches && event.target.matches("input[data-valor-upload]") && event.target.files.length) {
      upload(event.target);
    }
  });
  function nameViews() {
    document.querySelectorAll(".layout-grid-item img:not([alt])").forEach((image) => {
      const label = image.closest(".layout-grid-item").querySelector(".valor-view-name");
      image.alt = (label ? label.textContent : "Medical image") + " view";
      image.draggable = false;
    });
  }
  // The panel waits for the views: they are what the page is opened for, and the server draws them meanwhile.
  const start = Vue.reactive({ shown: false });
  window.trame.utils.valor = start;
  function viewsArePainted() {
    const views = [...document.querySelectorAll(".layout-grid-item")];
    return views.length > 0 && views.every((view) => {
      const image = view.querySelector("img");
      return !image || image.naturalWidth > 0;
    });
  }
  setTimeout(() => { start.shown = true; }, 1500);
  let shown = new Set();
  // A change of layout makes the whole page anew, so the place is looked up when it is time.
  function scrollToResult() {
    document.querySelectorAll("[data-test=summary]").forEach((mark) => {
      if (mark.offsetParent) mark.closest("section").scrollIntoView({ behavior: "instant", block: "start" });
    });
  }
  function showNewResults() {
    document.querySelectorAll("[data-test=summary]").forEach((mark) => {
      const text = mark.textContent;
      if (mark.offsetParent && text && !shown.has(text)) {
        shown.add(text);
        setTimeout(scrollToResult, 700);
      }
    });
  }
  function changed() {
    nameViews();
    // After the next frame, so that the views are seen before the panel takes its time.
    if (!start.shown && viewsArePainted()) requestAnimationFrame(() => setTimeout(() => { start.shown = true; }, 20));
    showNewResults();
  }
  new MutationObserver(changed).observe(document.documentElement, { childList: true, subtree: true, characterData: true, attributeFilter: ["src"] });
  function tip(chart) {
    let box = chart.querySelector(".valor-chart-tip");
    if (!box) {
      box = document.createElement("div");
      box.className = "valor-chart-tip";
      chart.appendChild(box);
    }
    return box;
  }
  document.addEventListener("mousemove", (event) => {
    const mark = event.target.closest && event.target.closest("[data-tip]");
    document.querySelectorAll(".valor-chart-tip").forEach((box) => { if (!mark) box.remove(); });
    if (!mark) return;
    const chart = mark.closest(".valor-chart");
    if (!chart) return;
    const box = tip(chart), frame = chart.getBoundingClientRect();
    box.textContent = mark.getAttribute("data-tip");
    box.style.left = Math.min(event.clientX - frame.left + 12, frame.width - box.offsetWidth - 4) + "px";
    box.style.top = Math.max(event.clientY - frame.top - 28, 2) + "px";
  });
})();
