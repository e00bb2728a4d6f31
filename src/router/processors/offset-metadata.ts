/**
 * Castle puts a mark in front of the metadata of a committed offset, and returns only metadata with the mark. Castellan does
 * the same, so that each can read what the other has committed.
 * Source: Box-Castle/router 1.0.3, KafkaOffsetAndMetadata.
 */
const MARKER = 'V1|CONSUMER_METADATA'

/** The metadata that Kafka stores; the empty string for none. */
export const toStoredMetadata = (metadata: string | undefined, raw: boolean): string => {
  if (metadata === undefined) return ''
  return raw ? metadata : MARKER + metadata
}

/** `raw`: unchanged, for offsets that other clients have committed. */
export const fromStoredMetadata = (stored: string | null, raw: boolean): string | undefined => {
  if (raw) return stored === null || stored === '' ? undefined : stored
  return stored?.startsWith(MARKER) ? stored.slice(MARKER.length) : undefined
}
