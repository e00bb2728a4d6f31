/** A JSON Schema (2020-12), as OpenAPI 3.1 uses it. */
export type JsonSchema = Readonly<Record<string, unknown>>

export type Method = 'get' | 'head' | 'post' | 'put' | 'delete'

/** A part of a request other than its body. */
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  /** Default: a string. */
  readonly schema?: JsonSchema
  /** Path parameters are always required. Default: false. */
  readonly required?: boolean
}

/** Schemas by media type. */
export type Content = Readonly<Record<string, JsonSchema>>

export interface Body {
  readonly description: string
  readonly content: Content
  /** Default: true. */
  readonly required?: boolean
}

export interface Answer {
  readonly description: string
  /** Absent: an empty body. */
  readonly content?: Content
}

/** One operation of an HTTP API: what OpenAPI says about a method of a path. */
export interface Operation {
  readonly method: Method
  /** Below the prefix of the API, with parameters in braces: `/sync/{topic}`. */
  readonly path: string
  /** Unique in its API; becomes a function's name in generated clients: `pushRecords`. */
  readonly id: string
  readonly summary: string
  readonly description?: string
  readonly parameters?: readonly Parameter[]
  readonly body?: Body
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>
  /** True: every answer has the header `x-castellan-persisted`. */
  readonly produces?: boolean
}

/** A JSON Schema of an object. @param optional properties that may be absent; all others are required */
export const object = (
  required: Readonly<Record<string, JsonSchema>>,
  optional: Readonly<Record<string, JsonSchema>> = {}
): JsonSchema => ({
  type: 'object',
  required: Object.keys(required),
  properties: { ...required, ...optional }
})

export const text: JsonSchema = { type: 'string' }
export const integer: JsonSchema = { type: 'integer' }
export const listOf = (items: JsonSchema): JsonSchema => ({ type: 'array', items })
export const oneOf = (...values: readonly string[]): JsonSchema => ({ type: 'string', enum: values })
export const nullable = (schema: JsonSchema): JsonSchema => ({ anyOf: [schema, { type: 'null' }] })

export const json = (schema: JsonSchema): Content => ({ 'application/json': schema })
