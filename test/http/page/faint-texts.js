// Runs in the browser: texts of the page whose contrast to their ground is below WCAG 2's level AA.
;(() => {
  const AA = 4.5
  const colourOf = text => {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (text.match(/[\d.]+/g) ?? []).map(Number)
    return { red, green, blue, alpha }
  }
  const linear = value => {
    const share = value / 255
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }
  const luminance = ({ red, green, blue }) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
  const groundOf = element => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = colourOf(getComputedStyle(at).backgroundColor)
      if (colour.alpha > 0) return colour
    }
    return { red: 255, green: 255, blue: 255 }
  }
  const faint = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const text = node.textContent.trim()
    const element = node.parentElement
    if (text === '' || element.closest('script, style, .hidden') !== null) continue
    if (element.getClientRects().length === 0) continue
    const [one, other] = [luminance(colourOf(getComputedStyle(element).color)), luminance(groundOf(element))]
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)
    if (contrast < AA) faint.push(`${text} (${contrast.toFixed(2)})`)
  }
  return faint
})()
