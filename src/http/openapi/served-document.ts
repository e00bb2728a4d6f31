import { MODERN_TYPE, PROBLEM_TYPE } from '../exchange/modern-answers.js'
import type { OpenApiSchema } from './operation.js'

type DocumentNode = Record<string, unknown>

const isNode = (value: unknown): value is DocumentNode =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const nodeOf = (value: unknown): DocumentNode => (isNode(value) ? value : {})

/**
 * The document as it is served: OpenAPI 3.0 with shared components, the form from which the usual generators of clients make
 * code that compiles. Bodies in the common form are left out where the API has one of its own: a client gets them only if it
 * asks for them by {@link MODERN_TYPE}, and a generated client would have to choose between two bodies of one status.
 */
export function toServedDocument({ openapi: _, info, ...document }: OpenApiSchema): OpenApiSchema {
  const { identifier: __, ...license } = nodeOf(nodeOf(info).license)
  const converted = nodeOf(converted30(document))
  const components = new Components()
  const paths = components.share(nodeOf(converted.paths))
  return {
    openapi: '3.0.3',
    info: { ...nodeOf(info), license },
    ...converted,
    paths,
    components: { ...nodeOf(converted.components), ...components.all }
  }
}

const FORM_TYPE = 'application/x-www-form-urlencoded'
const ANY_BYTES = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }
const INT32 = { minimum: -2147483648, maximum: 2147483647 }

/** JSON Schema 2020-12 as OpenAPI 3.0 writes it. */
function converted30(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(converted30)
  if (!isNode(value)) return value
  const { propertyNames: _, contentEncoding: __, ...rest } = value
  const kept = Object.entries(rest).filter(([, one]) => !isModernAnswer(one))
  const node: DocumentNode = Object.fromEntries(kept.map(([name, one]) => [name, converted30(one)]))
  if (isNode(node.content)) {
    const content = usualContent(node.content)
    node.content = content
    const isEmpty = Object.keys(content).length === 0
    // A body of a request says whether it is required; bodies of answers, which clients need not read, are left out.
    if (isEmpty && 'required' in node) node.content = ANY_BYTES
    else if (isEmpty) delete node.content
  }
  // A member may be called `type`; that of a schema is a text or a list.
  const isSchema = typeof value.type === 'string' || Array.isArray(value.type) || Array.isArray(value.anyOf)
  return isSchema ? schema30(node) : node
}

/** An answer in the common form alone; generators would take its empty 200 for the answer to a request that gets 201. */
function isModernAnswer(value: unknown): boolean {
  const types = isNode(value) && isNode(value.content) ? Object.keys(value.content) : []
  return types.length === 1 && types[0] === MODERN_TYPE
}

/** One type for each body: generated clients send and expect the first one. */
function usualContent(content: DocumentNode): DocumentNode {
  const own = Object.entries(content).filter(([type, media]) => type !== MODERN_TYPE && !isAnything(type, media))
  const usual = own.filter(([type]) => type !== PROBLEM_TYPE && type !== FORM_TYPE)
  const left = usual.length === 0 ? own : usual
  const bodies = left.map(([, media]) => JSON.stringify(media))
  return Object.fromEntries(left.filter((_, at) => bodies.indexOf(bodies[at]!) === at))
}

const isAnything = (type: string, media: unknown): boolean =>
  type === '*/*' && isNode(media) && isNode(media.schema) && Object.keys(media.schema).length === 0

function schema30(schema: DocumentNode): DocumentNode {
  const { anyOf, type, const: only, ...rest } = schema
  if (only !== undefined) return schema30({ ...rest, type: typeof only, enum: [only] })
  if (Array.isArray(type)) return schema30({ ...rest, anyOf: type.map(one => ({ type: one })) })
  if (Array.isArray(anyOf)) return union30(anyOf.filter(isNode), rest)
  if (type !== 'integer') return schema
  const { minimum, maximum, ...plain } = rest
  if (minimum === INT32.minimum && maximum === INT32.maximum) return { type, format: 'int32', ...plain }
  return { type, format: Number(maximum) <= INT32.maximum ? 'int32' : 'int64', ...rest }
}

function union30(members: readonly DocumentNode[], rest: DocumentNode): DocumentNode {
  const [first, ...others] = members.filter(({ type }) => type !== 'null')
  if (first === undefined) return { ...rest, type: 'string', nullable: true }
  // Of a union with a list of anything, or with a map, generators of Java make a class that does not compile.
  if (members.some(one => isAnyList(one) || isMap(one))) return rest
  const nullable = others.length + 1 < members.length || first.nullable === true ? { nullable: true } : {}
  if (others.length === 0) return { ...nullableOf(schema30(first), nullable), ...rest }
  // A number, or the number as a text: generated clients send numbers.
  if (first.type === 'integer' && others.every(({ type }) => type === 'string'))
    return { ...schema30(first), ...rest, ...nullable }
  return { ...rest, anyOf: [{ ...schema30(first), ...nullable }, ...others.map(schema30)] }
}

const isAnyList = ({ type, items }: DocumentNode): boolean =>
  type === 'array' && Object.keys(nodeOf(items)).length === 0

/** An object whose members have any names. */
const isMap = ({ type, properties, additionalProperties }: DocumentNode): boolean =>
  type === 'object' && properties === undefined && additionalProperties !== undefined

/** `nullable` has no effect without `type`: a union has it in its first member, and null is a value of what has no type. */
function nullableOf(schema: DocumentNode, nullable: object): DocumentNode {
  const { anyOf, type } = schema
  if (!Array.isArray(anyOf)) return type === undefined ? schema : { ...schema, ...nullable }
  const [first, ...others] = anyOf as DocumentNode[]
  return { ...schema, anyOf: [{ ...first, ...nullable }, ...others] }
}

const pascalCase = (text: string): string =>
  text.replace(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** Place of a shared part in a document. The part is named after the place where it was first found. */
type PartKind = 'schemas' | 'responses' | 'parameters' | 'headers'

/** Parts that stand in several places, each written once. */
class Components {
  readonly all: Record<PartKind, DocumentNode> = { schemas: {}, responses: {}, parameters: {}, headers: {} }
  /** References by kind and content. */
  readonly #known = new Map<string, DocumentNode>()

  /** Puts references in place of the parts. */
  share(paths: DocumentNode): DocumentNode {
    const shared: DocumentNode = {}
    for (const [path, methods] of Object.entries(paths)) {
      shared[path] = Object.fromEntries(
        Object.entries(nodeOf(methods)).map(([method, operation]) => [method, this.#operation(nodeOf(operation))])
      )
    }
    return shared
  }

  #operation({ parameters, requestBody, responses, ...operation }: DocumentNode): DocumentNode {
    const name = pascalCase(String(operation.operationId))
    return {
      ...operation,
      ...(Array.isArray(parameters) && {
        parameters: parameters.map((one: DocumentNode) =>
          one.in === 'header' ? this.#refer('parameters', pascalCase(String(one.name)), one) : one
        )
      }),
      ...(requestBody !== undefined && { requestBody: this.#schemasIn(requestBody, `${name}Body`) }),
      responses: Object.fromEntries(
        Object.entries(nodeOf(responses)).map(([status, one]) => [status, this.#response(name, status, nodeOf(one))])
      )
    }
  }

  #response(operation: string, status: string, { headers = {}, ...response }: DocumentNode): DocumentNode {
    const isError = Number(status) >= 400
    const named = Object.entries(nodeOf(headers)).map(([name, one]) => [
      name,
      this.#refer('headers', pascalCase(name), nodeOf(one))
    ])
    const schemas = nodeOf(this.#schemasIn(response, `${operation}${isError ? 'Error' : 'Answer'}`))
    const shared = { ...schemas, ...(named.length > 0 && { headers: Object.fromEntries(named) }) }
    return isError ? this.#refer('responses', `${operation}${status}`, shared) : shared
  }

  /** Every object with named members becomes a schema of its own. */
  #schemasIn(value: unknown, name: string): unknown {
    if (Array.isArray(value)) return value.map(one => this.#schemasIn(one, name))
    if (!isNode(value)) return value
    const inner = (key: string): string => (key === 'items' ? `${name}Entry` : name)
    const node: DocumentNode = Object.fromEntries(
      Object.entries(value).map(([key, one]) => [
        key,
        key === 'properties' ? this.#membersOf(nodeOf(one), name) : this.#schemasIn(one, inner(key))
      ])
    )
    if (!isNode(node.properties) || node.type !== 'object') return node
    const { nullable, ...schema } = node
    const reference = this.#refer('schemas', typeof schema.title === 'string' ? schema.title : name, schema)
    return nullable === true ? { type: 'object', nullable: true, allOf: [reference] } : reference
  }

  #membersOf(properties: DocumentNode, name: string): DocumentNode {
    return Object.fromEntries(
      Object.entries(properties).map(([key, one]) => [key, this.#schemasIn(one, name + pascalCase(key))])
    )
  }

  #refer(kind: PartKind, name: string, part: DocumentNode): DocumentNode {
    const content = `${kind} ${JSON.stringify(part)}`
    const known = this.#known.get(content)
    if (known !== undefined) return known
    const taken = this.all[kind]
    let free = name
    for (let nth = 2; free in taken; nth++) free = `${name}${nth}`
    taken[free] = part
    const reference = { $ref: `#/components/${kind}/${free}` }
    this.#known.set(content, reference)
    return reference
  }
}
