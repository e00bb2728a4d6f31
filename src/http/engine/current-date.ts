const dated = { second: Number.NaN, text: '' }

/** The value of the header `date`, made once a second. @param second since the epoch */
export function currentDate(second = Math.floor(Date.now() / 1_000)): string {
  if (second !== dated.second) {
    dated.second = second
    dated.text = new Date(second * 1_000).toUTCString()
  }
  return dated.text
}
