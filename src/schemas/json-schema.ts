import { Ajv, type AnySchema, type ErrorObject, type Options, str, type ValidateFunction } from 'ajv'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { Ajv2020 } from 'ajv/dist/2020.js'
import draft04 from 'ajv-draft-04'
import { RE2JS } from 're2js'
import { isJson } from '../core/json/is-json.js'
import { type Codec, isObject, Misfit, type SchemaSource, shown, Undecodable } from './codec.js'
import { isMultipleOf } from './decimals.js'

type Draft = typeof Ajv
/** By a part of `$schema`; others are drafts 6 and 7, which Ajv reads alike. */
const DRAFTS = new Map([
  ['draft-04', draft04.default],
  ['2019-09', Ajv2019],
  ['2020-12', Ajv2020]
]) as ReadonlyMap<string, unknown> as ReadonlyMap<string, Draft>
const MAX_PATTERN_LENGTH = 2_000

/** Patterns match in linear time, so those with look-around and references to groups are refused. */
function linearPattern(pattern: string): { test(text: string): boolean; toString(): string } {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new Error(`a pattern has more than ${MAX_PATTERN_LENGTH} characters`)
  const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern))
  // Ajv compiles each pattern once, and tells them apart by this.
  return { test: text => compiled.matcher(text).find(), toString: () => pattern }
}

const QUIET: Options = { strict: false, validateFormats: false, logger: false }
const OPTIONS: Options = {
  ...QUIET,
  validateSchema: false,
  meta: false,
  verbose: true,
  ownProperties: true,
  code: { regExp: Object.assign(linearPattern, { code: '' }) }
}

/** One for each draft, which knows how schemas themselves look. */
const ofSchemas = new Map<Draft, Ajv>()

/** @throws Error with the reason why it is no JSON Schema */
export function createJsonSchema({ text, used }: SchemaSource): Codec {
  const schema: unknown = JSON.parse(text)
  const validate = compile(schema, used)
  return {
    name: isObject(schema) && typeof schema.title === 'string' ? schema.title : undefined,
    encode: json => {
      if (!validate(JSON.parse(json))) throw misfitOf(validate.errors![0]!)
      return Buffer.from(json)
    },
    decode: bytes => {
      if (!isJson(bytes)) throw new Undecodable('it is not JSON')
      return bytes.toString()
    }
  }
}

function compile(schema: unknown, used: ReadonlyMap<string, string>): ValidateFunction {
  const Draft = draftOf(schema)
  const ajv = new Draft(OPTIONS)
  // Ajv's own compares each item with each other one.
  ajv.removeKeyword('uniqueItems')
  const uniqueItems = (isWanted: boolean) => (items: readonly unknown[]) => !isWanted || areUnique(items)
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    error: { message: 'must have unique items' },
    compile: uniqueItems
  })
  // Ajv's own divides doubles, and refuses 0.07 as a multiple of 0.01.
  ajv.removeKeyword('multipleOf')
  ajv.addKeyword({
    keyword: 'multipleOf',
    type: 'number',
    schemaType: 'number',
    error: { message: ({ schemaCode }) => str`must be multiple of ${schemaCode}` },
    compile: (divisor: number) => (value: number) => isMultipleOf(value, divisor)
  })
  for (const [name, other] of used) ajv.addSchema(checked(JSON.parse(other), Draft), name)
  const validate = ajv.compile(checked(schema, Draft))
  if ('$async' in validate) throw new Error('$async is not known')
  return validate
}

function draftOf(schema: unknown): Draft {
  const draft = isObject(schema) ? String(schema.$schema) : ''
  return [...DRAFTS].find(([name]) => draft.includes(name))?.[1] ?? Ajv
}

/** Checks the schemas of a draft. */
function ofDraft(Draft: Draft): Ajv {
  const known = ofSchemas.get(Draft)
  if (known) return known
  const made = new Draft(QUIET)
  made.validateSchema({})
  ofSchemas.set(Draft, made)
  return made
}

/** The schema without its draft, which is known then. */
function checked(schema: unknown, Draft: Draft): AnySchema {
  const checks = ofDraft(Draft)
  const { $schema, ...bare } = schema as Exclude<AnySchema, boolean>
  const plain = isObject(schema) ? bare : (schema as AnySchema)
  if (!checks.validateSchema(plain)) throw new Error(checks.errorsText(checks.errors, { dataVar: 'schema' }))
  return plain
}

const areUnique = (items: readonly unknown[]): boolean => new Set(items.map(canonical)).size === items.length

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    isObject(part) ? ['object', ...Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1))] : part
  )

function misfitOf({ instancePath, message, params, data }: ErrorObject): Misfit {
  const parts = instancePath.split('/').slice(1)
  const path = parts.map(part => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')))
  const { additionalProperty: name, missingProperty } = params as {
    additionalProperty?: string
    missingProperty?: string
  }
  const got =
    name !== undefined ? ` such as ${shown(name)}` : missingProperty === undefined ? `, got ${shown(data)}` : ''
  return new Misfit(`it ${message}${got}`, path)
}
