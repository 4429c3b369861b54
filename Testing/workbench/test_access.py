"""Small windows, keyboards, screen readers and both themes: every panel of the page, looked over in a browser."""

import pytest

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]
MODULES = ("Registration", "Point clouds", "Uncertainty", "Correct")
KINDS = ("nameless", "pictures", "outside", "faint", "jumping")

AUDIT = """() => {
  const seen = el => { const r = el.getBoundingClientRect();
    return r.width > 0 && r.height > 0 && el.checkVisibility({visibilityProperty: true, opacityProperty: true}); };
  const named = el => [el.getAttribute('aria-label'), el.innerText, el.getAttribute('title'), el.getAttribute('alt'),
    ...[...(el.labels || [])].map(l => l.innerText),
    ...(el.getAttribute('aria-labelledby') || '').split(' ').map(i => (document.getElementById(i) || {}).innerText)]
    .some(text => text && text.trim());
  const color = text => { const v = (text.match(/[\\d.]+/g) || []).map(Number);
    return v.length === 3 ? [...v, 1] : v; };
  const over = (a, b) => [0, 1, 2].map(n => a[n] * a[3] + b[n] * (1 - a[3])).concat(1);
  const light = c => { const f = c.slice(0, 3).map(v => { v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const behind = el => { const layers = [];
    for (let at = el; at; at = at.parentElement) layers.push(color(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]); };
  const faint = el => { let share = 1;
    for (let at = el; at; at = at.parentElement) share *= Number(getComputedStyle(at).opacity);
    const ground = behind(el), ink = color(getComputedStyle(el).color);
    const [a, b] = [light(over([...ink.slice(0, 3), ink[3] * share], ground)), light(ground)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  const kinds = 'button, input, textarea, select, a[href], summary, [role=tab], [role=slider]';
  const controls = [...document.querySelectorAll(kinds)];
  const own = el => [...el.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  const texts = [...document.querySelectorAll('.v-navigation-drawer *, .v-app-bar *, .valor-footer *')]
    .filter(el => own(el) && seen(el) && !el.closest('[disabled], .v-btn--disabled, .v-input--disabled, svg, option'));
  const panel = [...document.querySelectorAll('.valor-panel *')].filter(seen);
  return {
    nameless: controls.filter(el => seen(el) && !named(el)).map(el => el.outerHTML.slice(0, 200)),
    pictures: [...document.querySelectorAll('img')].filter(el => seen(el) && !el.alt).map(el => el.src.slice(0, 99)),
    outside: panel.filter(el => el.getBoundingClientRect().right > 391).map(el => el.outerHTML.slice(0, 120)),
    size: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
    faint: texts.map(el => [Math.round(10 * faint(el)) / 10, el.innerText.slice(0, 40)]).filter(p => p[0] < 4.5),
    jumping: controls.filter(el => el.tabIndex > 0).map(el => el.outerHTML.slice(0, 99)),
  };
}"""

FOCUS = """() => { const el = document.activeElement;
  return [el.getAttribute('aria-label') || '', (el.innerText || '').trim(),
    (el.closest('.v-input')?.innerText || '').trim()].filter(t => t).join(' / '); }"""


def tab_to(page, name, most=60):
    """Press the tabulator until a control with this name has the focus; the names on the way."""
    passed = []
    for _press in range(most):
        page.page.keyboard.press("Tab")
        passed.append(page.page.evaluate(FOCUS))
        if name in passed[-1]:
            return passed
    raise AssertionError(f"{name} is not reached by the keyboard; reached: {passed}")


def test_every_control_has_a_name_fits_the_window_and_can_be_read_in_both_themes(shared, visit):
    page = visit(shared)
    page.page.get_by_text("3T (moving)").first.wait_for()
    page.page.get_by_text("Options", exact=True).locator("visible=true").first.wait_for()
    wrong = []
    for theme in ("dark", "light"):
        for module in MODULES:
            page.module(module)
            page.page.wait_for_timeout(400)
            found = page.page.evaluate(AUDIT)
            assert found["size"][0] <= 1280
            assert found["size"][1] <= 720
            wrong += [(module, theme, kind, found[kind]) for kind in KINDS if found[kind]]
        page.page.get_by_label("Light or dark").click()
        page.page.wait_for_timeout(400)
    assert not wrong, "\n".join(map(str, wrong))
    page.check_manners()


def test_a_registration_is_started_and_cancelled_by_the_keyboard_alone(shared, visit):
    page = visit(shared)
    page.module("Registration")
    page.page.get_by_text("3T (moving)").first.wait_for()
    page.page.get_by_text("Options", exact=True).locator("visible=true").first.wait_for()
    tab_to(page, "Fixed scan")
    tab_to(page, "Without a mouse")
    page.page.keyboard.press("Enter")
    tab_to(page, "At the slices' crossing")
    page.page.keyboard.press("Enter")
    page.page.get_by_role("table", name="Clicks").get_by_role("row").first.wait_for()
    tab_to(page, "Apply")
    page.page.keyboard.press("Enter")
    page.item("cancel").wait_for()
    tab_to(page, "Cancel")
    page.page.keyboard.press("Enter")
    page.item("apply").wait_for()
    page.page.get_by_label("Remove all clicks").click()
    page.page.get_by_role("table", name="Clicks").wait_for(state="hidden")
    page.no_error()
    page.check_manners()
