import type { Offset, RecordHeader } from '../../core/model.js'
import { ApiError } from '../../http/api/api-answers.js'
import { mediaTypeOf } from '../../http/exchange/media-types.js'
import type { Attributes } from './attributes.js'

/** The content mode of an HTTP message. Source: HTTP protocol binding 1.0.2, section 3. */
export type ContentMode = 'binary' | 'structured' | 'batch'

export const EVENT_TYPE = 'application/cloudevents+json'
export const BATCH_TYPE = 'application/cloudevents-batch+json'

/** Events of one answer; with more, the header that names their places would be too long for clients. */
export const MAX_EVENTS = 500

/** Every content type that begins so has an event format. */
const PREFIX = 'application/cloudevents'

/** Whether a content type names an event format; capital letters do not matter. */
export const hasEventFormat = (contentType: string | undefined): boolean =>
  contentType !== undefined && contentType.slice(0, PREFIX.length).toLowerCase() === PREFIX

/** @returns `undefined`: the content type names an event format, or a charset, that is not known */
export function modeOf(contentType: string | undefined): ContentMode | undefined {
  if (contentType === undefined || !hasEventFormat(contentType)) return 'binary'
  if (!isUtf8Charset(contentType)) return undefined
  const type = mediaTypeOf(contentType)
  if (type === EVENT_TYPE) return 'structured'
  return type === BATCH_TYPE ? 'batch' : undefined
}

export const typeOfElement = (batchType: string): string => batchType.replace(/^[^;]*/, EVENT_TYPE)

const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]*)/i

/** Whether a text of this type is UTF-8: it says so, or says nothing. */
export function isUtf8Charset(contentType: string): boolean {
  const charset = CHARSET.exec(contentType)?.[1]?.toLowerCase()
  return charset === undefined || charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii'
}

/** Whether data of this type is JSON. Source: JSON format 1.0.2, section 3.1. */
export const isJsonData = (contentType: string): boolean =>
  /^[^/\s]+\/(?:json|.+\+json)$/.test(mediaTypeOf(contentType))

/** Whether data of this type is text that can stand in JSON as it is. */
export const isTextType = (contentType: string): boolean =>
  mediaTypeOf(contentType).startsWith('text/') && isUtf8Charset(contentType)

/** The header of a record for `datacontenttype`, or for the event format. */
export const CONTENT_TYPE = 'content-type'
/** The keys of headers for attributes begin so. */
export const ATTRIBUTE_PREFIX = 'ce_'

/**
 * The headers of a record in binary mode.
 *
 *   id: 7, datacontenttype: text/plain => ce_id: 7, content-type: text/plain
 *
 * Source: Kafka protocol binding 1.0.2, sections 3.2.1 and 3.2.3.
 */
export const headersOfBinary = (attributes: Attributes): RecordHeader[] =>
  Array.from(attributes, ([name, value]) => ({
    key: name === 'datacontenttype' ? CONTENT_TYPE : ATTRIBUTE_PREFIX + name,
    value: Buffer.from(value)
  }))

/** Position of a record in its topic. */
export interface PlaceOfRecord {
  readonly partition: number
  readonly offset: Offset
}

/**
 * The places of events, in their order. Events that follow each other in a partition are one range.
 *
 *   0:17-19,1:4
 */
export function placesText(places: readonly PlaceOfRecord[]): string {
  const ranges: { readonly partition: number; readonly from: Offset; to: Offset }[] = []
  for (const { partition, offset } of places) {
    const last = ranges.at(-1)
    if (last?.partition === partition && last.to === offset - 1) last.to = offset
    else ranges.push({ partition, from: offset, to: offset })
  }
  return ranges.map(({ partition, from, to }) => `${partition}:${from === to ? from : `${from}-${to}`}`).join(',')
}

const RANGE = /^(\d{1,10}):(\d{1,16})(?:-(\d{1,16}))?$/

/**
 * Reads what {@link placesText} has written.
 *
 * @throws ApiError when it is another text, or there are more than `max` places
 */
export function placesIn(text: string, max: number): readonly PlaceOfRecord[] {
  const places: PlaceOfRecord[] = []
  for (const range of text.split(',')) {
    const [, partition, from, to = from] = RANGE.exec(range) ?? []
    if (partition === undefined || !(Number(to) >= Number(from)) || Number(to) > Number.MAX_SAFE_INTEGER) {
      throw new ApiError(400, 'the parameter offsets has to have the form 0:17-19,1:4: partitions and their offsets')
    }
    if (places.length + Number(to) - Number(from) >= max) {
      throw new ApiError(400, `the parameter offsets names more than ${max} events`)
    }
    for (let offset = Number(from); offset <= Number(to); offset++)
      places.push({ partition: Number(partition), offset })
  }
  return places
}
