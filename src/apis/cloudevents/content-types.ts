/** The content mode of an HTTP message. Source: HTTP protocol binding 1.0.2, section 3. */
export type ContentMode = 'binary' | 'structured' | 'batch'

export const EVENT_TYPE = 'application/cloudevents+json'
export const BATCH_TYPE = 'application/cloudevents-batch+json'

/** Events of one answer; with more, the header that names their places would be too long for clients. */
export const MAX_EVENTS = 500

/** Every content type that begins so has an event format. */
const PREFIX = 'application/cloudevents'

const mediaTypeOf = (contentType: string): string => contentType.split(';', 1)[0]!.trim().toLowerCase()

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
export const isJsonType = (contentType: string): boolean =>
  /^[^/\s]+\/(?:json|.+\+json)$/.test(mediaTypeOf(contentType))

/** Whether data of this type is text that can stand in JSON as it is. */
export const isTextType = (contentType: string): boolean =>
  mediaTypeOf(contentType).startsWith('text/') && isUtf8Charset(contentType)
