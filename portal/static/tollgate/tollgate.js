// What pages do in the browser beyond links and forms: theme switch, copy buttons, menus, and manners for htmx.
(() => {
  "use strict";

  const themes = ["system", "light", "dark"];
  const names = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

  function currentTheme() {
    return document.documentElement.dataset.theme || "system";
  }

  function showTheme() {
    for (const label of document.querySelectorAll("[data-theme-name]")) label.textContent = names[currentTheme()];
  }

  function nextTheme() {
    const theme = themes[(themes.indexOf(currentTheme()) + 1) % themes.length];
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    showTheme();
  }

  async function copyText(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // plain http has no clipboard interface
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  async function copyFrom(button) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.textContent;
    try {
      await copyText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-theme-switch]");
    if (target?.dataset.copy) copyFrom(target);
    else if (target) nextTheme();
    for (const menu of document.querySelectorAll("details.switcher[open]"))
      if (!menu.contains(event.target)) menu.open = false;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.switcher[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A form that came back: begin at the first field to mend.
  document.querySelector("input[aria-invalid=true], select[aria-invalid=true], textarea[aria-invalid=true]")?.focus();

  // A page that shows a secret once must not make another one when it is loaded again.
  const once = document.querySelector("[data-shown-once]");
  if (once) history.replaceState(null, "", once.dataset.shownOnce);

  // Never replace, behind someone's back, the part of the page their keyboard is in.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const polled = event.detail.target.hasAttribute("data-live");
    if (polled && event.detail.target.contains(document.activeElement)) event.detail.shouldSwap = false;
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.hasAttribute("data-live") && document.hidden) event.preventDefault();
  });

  showTheme();
})();
