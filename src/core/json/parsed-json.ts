import { isJson } from './is-json.js'
import { jsonFault } from './json-fault.js'

/** JSON.parse cannot be interrupted: longer texts from outside are refused before. */
export const MAX_PARSED_BYTES = 256 * 1024

/** The value that JSON stands for. @throws SyntaxError saying why it is not JSON, too long, or more than 1,000 levels deep */
export function parsedJson(bytes: Buffer): unknown {
  if (bytes.length > MAX_PARSED_BYTES) throw new SyntaxError(`it has more than ${MAX_PARSED_BYTES} bytes`)
  if (!isJson(bytes)) throw new SyntaxError(jsonFault(bytes))
  return JSON.parse(bytes.toString())
}
