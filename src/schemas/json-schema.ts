import {
  _,
  type Ajv,
  type AnySchema,
  type AnySchemaObject,
  type CodeKeywordDefinition,
  type ErrorObject,
  Name,
  type Options,
  str,
  type ValidateFunction
} from 'ajv'
import { RE2JS } from 're2js'
import { isJson } from '../core/json/is-json.js'
import { partsOf } from '../core/pattern-parts.js'
import {
  type Codec,
  isObject,
  lengthOf,
  MAX_SHOWN,
  Misfit,
  type SchemaSource,
  shown,
  TooManyBytes,
  TooMuchJson,
  Undecodable
} from './codec.js'
import { isMultipleOf } from './decimals.js'
import { asInEcma, requireLinear } from './ecma-patterns.js'
import { areUnique, compareExactly, ExactNumbers, type Held } from './exact-numbers.js'
import { DRAFT_7, type Draft, draftOf, keepOfDraft } from './json-schema-drafts.js'
import { requireOwn } from './json-schema-references.js'

const MAX_PATTERN_LENGTH = 2_000

/** Limits of the parts of a pattern, and of all patterns of a schema, with their repetitions written out. */
const MAX_PATTERN_PARTS = 1_000
const MAX_PARTS = 4_000
/** Measured: the memory of a pattern, of a part, with what matching remembers, and for a character of a schema. */
const BYTES_PER_PATTERN = 5_000
const BYTES_PER_PART = 256
const BYTES_PER_CHARACTER = 20

interface Pattern {
  test(text: string): boolean
  toString(): string
}

/** Measured: the time to compile a class of the spaces of JavaScript. */
const PARTS_OF_SPACES = 20

/** The patterns of one schema. They match in linear time, so those with look-around and references to groups are refused. */
class Patterns {
  readonly #compiled = new Map<string, Pattern>()
  parts = 0

  get heldBytes(): number {
    return BYTES_PER_PATTERN * this.#compiled.size + BYTES_PER_PART * this.parts
  }

  compile(pattern: string): Pattern {
    const known = this.#compiled.get(pattern)
    if (known !== undefined) return known
    if (pattern.length > MAX_PATTERN_LENGTH) throw new Error(`a pattern has more than ${MAX_PATTERN_LENGTH} characters`)
    requireLinear(pattern)
    const translated = RE2JS.translateRegExp(pattern)
    const { ofEcma, spaces } = asInEcma(translated)
    const parts = partsOf(translated) + PARTS_OF_SPACES * spaces
    if (parts > MAX_PATTERN_PARTS)
      throw new Error(`a pattern has ${parts} parts with its repetitions written out (limit ${MAX_PATTERN_PARTS})`)
    this.parts += parts
    if (this.parts > MAX_PARTS)
      throw new Error(`its patterns have more than ${MAX_PARTS} parts with their repetitions written out`)
    const compiled = RE2JS.compile(ofEcma)
    // Ajv tells patterns apart by this.
    const made = { test: (text: string) => compiled.matcher(text).find(), toString: () => pattern }
    this.#compiled.set(pattern, made)
    return made
  }
}

/** Matches schemas that refer to a meta-schema: only these need the schemas that describe schemas. */
const TO_META_SCHEMA = /"\$ref"\s*:\s*"https?:\/\/json-schema\.org\//
/** Measured: the memory of all that describe a draft, once they are compiled. */
const META_SCHEMA_BYTES = 100_000
/** Keywords that compare numbers exactly; without them no digits are looked at. An escape may be part of such a name. */
const COMPARING = /\\u|"(maximum|minimum|exclusiveMaximum|exclusiveMinimum|multipleOf|const|enum|uniqueItems|integer)"/
const NO_NUMBERS = new ExactNumbers()
const QUIET: Options = { strict: false, validateFormats: false, logger: false }
const OPTIONS: Options = {
  ...QUIET,
  validateSchema: false,
  meta: false,
  verbose: true,
  ownProperties: true
}

/** One for each draft, which knows how schemas themselves look. */
const ofSchemas = new Map<Draft, Ajv>()

/** @throws Error with the reason why it is no JSON Schema */
export const createJsonSchema = (source: SchemaSource): Codec => new JsonSchema(source)

class JsonSchema implements Codec {
  readonly name: string | undefined
  readonly heldBytes: number
  readonly #source: SchemaSource
  readonly #numbers = new ExactNumbers()
  readonly #schema: unknown
  readonly #validate: ValidateFunction
  /** Whether it looks at the digits of numbers. */
  readonly #isComparing: boolean
  /** Made for the first value or schema with numbers that doubles do not hold; it looks at those of {@link #ofValue}. */
  #validateExactly: ValidateFunction | undefined
  #ofValue = NO_NUMBERS

  constructor(source: SchemaSource) {
    const { text, used } = source
    this.#source = source
    this.#schema = this.#numbers.parse(text)['']
    const { title } = isObject(this.#schema) ? this.#schema : {}
    keepOfDraft(this.#schema, draftOf(this.#schema))
    const { validate, patterns } = compile(source, this.#schema, this.#numbers)
    this.#validate = validate
    this.#isComparing = [text, ...used.values()].some(one => COMPARING.test(one))
    this.name = typeof title === 'string' ? title : undefined
    const ofMeta = refersToMeta(source) ? META_SCHEMA_BYTES : 0
    this.heldBytes = BYTES_PER_CHARACTER * lengthOf(source) + patterns.heldBytes + ofMeta
  }

  encode(json: string, maxBytes: number): Buffer {
    const bytes = Buffer.from(json)
    const numbers = new ExactNumbers()
    const held: Held = this.#isComparing ? numbers.parse(json) : { '': JSON.parse(json) }
    if (numbers.isEmpty && this.#numbers.isEmpty) {
      if (!this.#validate(held[''])) throw misfitOf(this.#validate.errors![0]!)
      return within(bytes, maxBytes)
    }
    this.#validateExactly ??= compile(this.#source, this.#schema, this.#numbers, () => this.#ofValue).validate
    const validate = this.#validateExactly
    this.#ofValue = numbers
    const place = { parentData: held, parentDataProperty: '', instancePath: '', rootData: held, dynamicAnchors: {} }
    if (validate(held[''], place)) return within(bytes, maxBytes)
    throw misfitOf(validate.errors![0]!, path => numbers.textAt(held, path))
  }

  decode(bytes: Buffer, maxBytes: number): string {
    if (bytes.length > maxBytes) throw new TooMuchJson(maxBytes)
    if (!isJson(bytes)) throw new Undecodable('it is not JSON')
    return bytes.toString()
  }
}

function within(bytes: Buffer, maxBytes: number): Buffer {
  if (bytes.length > maxBytes) throw new TooManyBytes(maxBytes)
  return bytes
}

const refersToMeta = ({ text, used }: SchemaSource): boolean =>
  [text, ...used.values()].some(one => TO_META_SCHEMA.test(one))

/** @param ofValue numbers of the value that is checked; absent: doubles hold all of them */
function compile(source: SchemaSource, schema: unknown, ofSchema: ExactNumbers, ofValue?: () => ExactNumbers) {
  const draft = draftOf(schema)
  const patterns = new Patterns()
  const regExp = Object.assign((pattern: string) => patterns.compile(pattern), { code: '' })
  const ajv = new draft.Ajv({ ...OPTIONS, code: { regExp } })
  // Ajv's refuses each schema that has it.
  if (draft.idKeyword === '$id') ajv.removeKeyword('id')
  replaceKeywords(ajv)
  lookAtOwn(ajv)
  refuseUnchecked(ajv)
  if (ofValue !== undefined) compareExactly(ajv, ofSchema, ofValue)
  const bare = (one: unknown): AnySchema => {
    const plain = checked(one, draft)
    ofSchema.copied(one, plain)
    return plain
  }
  const all: [schema: unknown, draft: Draft][] = [[schema, draft]]
  for (const [name, text] of source.used) {
    const other = ofSchema.parse(text)['']
    const ofOther = draftOf(other, draft)
    keepOfDraft(other, ofOther)
    all.push([other, ofOther])
    ajv.addSchema(bare(other), name)
  }
  requireOwn(all)
  if (refersToMeta(source))
    for (const [uri, one] of Object.entries(ofDraft(draft).schemas)) ajv.addSchema(one!.schema, uri)
  const validate: ValidateFunction = ajv.compile(bare(schema))
  return { validate, patterns }
}

function replaceKeywords(ajv: Ajv): void {
  // After the keyword for first items, Ajv checks nothing more of a list that is too short for them.
  const before = ajv.getKeyword('prefixItems') === false ? 'items' : 'prefixItems'
  const contains = ajv.getKeyword('contains') as CodeKeywordDefinition
  ajv.removeKeyword('contains')
  ajv.addKeyword({ ...contains, before })
  // Ajv's own compares each item with each other one.
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    before,
    error: { message: 'must have unique items' },
    compile: (isWanted: boolean) => (items: readonly unknown[]) => !isWanted || areUnique(items, NO_NUMBERS)
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
}

/** Ajv looks for the properties that other keywords know in an object that inherits some, such as `toString`. */
function lookAtOwn(ajv: Ajv): void {
  const keyword = ajv.getKeyword('unevaluatedProperties') as CodeKeywordDefinition | false
  if (keyword === false) return
  const { code } = keyword
  keyword.code = (context, type) => {
    const { gen, it } = context
    const { props } = it
    if (props instanceof Name)
      gen.if(_`${props} && ${props} !== true`, () => gen.assign(props, _`Object.assign(Object.create(null), ${props})`))
    code(context, type)
  }
}

/** Ajv leaves out what these keywords have by the name `__proto__`. */
function refuseUnchecked(ajv: Ajv): void {
  for (const name of ['properties', 'patternProperties', 'dependencies']) {
    const keyword = ajv.getKeyword(name) as CodeKeywordDefinition
    const { code } = keyword
    keyword.code = (context, type) => {
      if (Object.hasOwn(context.schema, '__proto__')) throw new Error(`${name} of the name __proto__ cannot be checked`)
      code(context, type)
    }
  }
}

interface MetaSchema {
  readonly properties: Readonly<Record<string, AnySchema>>
}

/** The meta-schema of draft 6, in which the keywords that draft 7 has added may be anything. */
function metaOfDraft6({ properties, ...others }: MetaSchema, $id: string): AnySchemaObject {
  const { $comment, readOnly, writeOnly, contentMediaType, contentEncoding, if: _, then, else: __, ...own } = properties
  return { ...others, $id, properties: own }
}

/** Checks the schemas of a draft. */
function ofDraft(draft: Draft): Ajv {
  const known = ofSchemas.get(draft)
  if (known) return known
  const made = new draft.Ajv({ ...QUIET, defaultMeta: draft.uri })
  const ofDraft7 = made.schemas[DRAFT_7.uri]?.schema
  if (made.schemas[draft.uri] === undefined) made.addMetaSchema(metaOfDraft6(ofDraft7 as MetaSchema, draft.uri))
  // A name that is there twice does no harm, and Ajv compares each item with each other one, as doubles.
  made.removeKeyword('uniqueItems')
  made.validateSchema({})
  ofSchemas.set(draft, made)
  return made
}

/** The schema without its draft, which is known then. */
function checked(schema: unknown, draft: Draft): AnySchema {
  const checks = ofDraft(draft)
  if (schema === null) throw new Error('schema must be object,boolean')
  const { $schema, ...bare } = schema as Exclude<AnySchema, boolean>
  const plain = isObject(schema) ? bare : (schema as AnySchema)
  if (!checks.validateSchema(plain)) throw new Error(checks.errorsText(checks.errors, { dataVar: 'schema' }))
  return plain
}

/** @param exactAt the text of a number that its double is not */
function misfitOf(
  { instancePath, message, params, data }: ErrorObject,
  exactAt: (path: readonly (string | number)[]) => string | undefined = () => undefined
): Misfit {
  const parts = instancePath.split('/').slice(1)
  const path = parts.map(part => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')))
  const { additionalProperty: name, missingProperty } = params as {
    additionalProperty?: string
    missingProperty?: string
  }
  const got =
    name !== undefined
      ? ` such as ${shown(name)}`
      : missingProperty === undefined
        ? `, got ${exactAt(path)?.slice(0, MAX_SHOWN) ?? shown(data)}`
        : ''
  return new Misfit(`it ${message}${got}`, path)
}
