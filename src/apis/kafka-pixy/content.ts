/** What a body is: the message itself, or a form with it. */
export type ContentKind = 'raw' | 'form'

const FORM_TYPE = 'application/x-www-form-urlencoded'
const JSON_TYPE = /^application\/(?:json|[^;]*\+json)(?:;.*)?$/

/** Letters count as they are written, and only JSON may have parameters. `undefined`: no message can be of this type. */
export function contentKindOf(type: string | undefined): ContentKind | undefined {
  if (type === 'text/plain' || type === 'application/json') return 'raw'
  if (type === FORM_TYPE) return 'form'
  return type !== undefined && JSON_TYPE.test(type) ? 'raw' : undefined
}

/** Whether parameters are read from a body of this type. */
export const isFormType = (type: string | undefined): boolean =>
  type !== undefined && type.split(';', 1)[0]!.trim().toLowerCase() === FORM_TYPE
