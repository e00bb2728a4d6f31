/** V8 copies shorter parts of a text itself. */
const MIN_SHARED_LENGTH = 13

/**
 * The same text in memory of its own. V8 cuts a text without copying it, so a name that was cut out of a request keeps the
 * whole head of that request in memory: names that outlive their request are copied.
 */
export const ownText = (text: string): string =>
  text.length < MIN_SHARED_LENGTH ? text : JSON.parse(JSON.stringify(text))
