import type { RecordHeader } from '../../core/model.js'
import type { Attributes } from './attributes.js'

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
