import { isJson } from './is-json.js'

/** JSON.parse cannot be interrupted: longer texts from outside are refused before. */
export const MAX_PARSED_BYTES = 256 * 1024

/** The value that a text of JSON stands for. @throws SyntaxError where it is not JSON, too long, or more than 1,000 levels deep */
export function parsedJson(text: string): unknown {
  if (text.length > MAX_PARSED_BYTES || !isJson(Buffer.from(text))) throw new SyntaxError('not JSON')
  return JSON.parse(text)
}
