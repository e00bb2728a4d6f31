import type { ProduceRecord } from '../../core/model.js'
import { parseForm } from './form.js'
import { toJsonObject } from './form-json.js'

/** What one record of a request is made of; its bytes may be views of the request's body. */
export type Content = Pick<ProduceRecord, 'key' | 'value'>

/** What becomes of a form: one JSON object, or a record of its own for each field (key = name, value = value). */
export type PayloadMode = 'json' | 'fields'

const JSON_TYPE = /^application\/(?:[\w.!#$&^+-]+\+)?json *(?:;|$)/i

/** Whether a body of this type is JSON. Every other type, and none, is read as a form, as kafboy does. */
export const isJsonType = (contentType: string | undefined): boolean =>
  contentType !== undefined && (contentType === 'application/json' || JSON_TYPE.test(contentType))

/**
 * What is published of a body that no hook has edited. JSON is published as the bytes that came; they are not parsed.
 *
 * @returns `undefined` for a form that cannot be read
 */
export function contentsOf(body: Buffer, isJson: boolean, mode: PayloadMode): readonly Content[] | undefined {
  if (body.length === 0) return []
  if (isJson) return [{ key: null, value: body }]
  const fields = parseForm(body)
  if (fields === undefined) return undefined
  if (fields.length === 0) return []
  if (mode === 'fields') return fields.map(({ name, value }) => ({ key: name, value: value === true ? 'true' : value }))
  const value = toJsonObject(fields)
  return value === undefined ? undefined : [{ key: null, value }]
}
