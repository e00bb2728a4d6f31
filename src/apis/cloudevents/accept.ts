import { BATCH_TYPE, type ContentMode, EVENT_TYPE } from './content-types.js'

interface Range {
  readonly type: string
  readonly quality: number
}

const rangesOf = (accept: string): Range[] =>
  accept.split(',').map(text => {
    const [type = '', ...parameters] = text.split(';').map(part => part.trim().toLowerCase())
    const quality = parameters.find(parameter => parameter.startsWith('q='))
    return { type, quality: quality === undefined ? 1 : Number(quality.slice(2)) }
  })

/**
 * The content mode of an answer with events. A client that takes neither of the types of event formats by name gets one event
 * in binary mode, or a batch when it asks for a number of events: only then is a batch solicited.
 *
 * Source: HTTP protocol binding 1.0.2, section 3.
 *
 * @param hasCount whether the client has asked for a number of events
 * @returns `undefined`: it asks for several events, and takes one
 */
export function acceptedMode(accept: string | undefined, hasCount: boolean): ContentMode | undefined {
  const named = rangesOf(accept ?? '')
    .filter(({ type, quality }) => quality > 0 && (type === EVENT_TYPE || type === BATCH_TYPE))
    .sort((one, other) => other.quality - one.quality)
  if (hasCount) return named.length === 0 || named.some(({ type }) => type === BATCH_TYPE) ? 'batch' : undefined
  if (named.length === 0) return 'binary'
  return named[0]!.type === EVENT_TYPE ? 'structured' : 'batch'
}
