/**
 * Castle marks the metadata it stores with a committed offset, and shows only what carries the mark. Kept, so that
 * offsets written by either are read by the other.
 * Source: Box-Castle/router 1.0.3, KafkaOffsetAndMetadata.
 */
const MARKER = 'V1|CONSUMER_METADATA'

/** What Kafka stores for it; nothing is the empty string. */
export const toStoredMetadata = (metadata: string | undefined, raw: boolean): string => {
  if (metadata === undefined) return ''
  return raw ? metadata : MARKER + metadata
}

/** `raw`: as it stands, for offsets others have committed. */
export const fromStoredMetadata = (stored: string | null, raw: boolean): string | undefined => {
  if (raw) return stored === null || stored === '' ? undefined : stored
  return stored?.startsWith(MARKER) ? stored.slice(MARKER.length) : undefined
}
