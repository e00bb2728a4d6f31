import type { ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { MODERN_TYPE } from '../../src/http/exchange/modern-answers.js'
import { type Operation, toDocument } from '../../src/http/openapi/operation.js'

/** An answer as a client has seen it. */
export interface AnswerSeen {
  readonly method: string
  /** Below the prefix of the API, with its query: `/topics/orders?x=1`. */
  readonly path: string
  readonly status: number
  readonly type: string | undefined
  /** The header `x-castellan-persisted`. */
  readonly persisted: string | undefined
  readonly body: string
}

interface DescribedOperation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, Response>>
}

interface Response {
  readonly headers: Readonly<Record<string, unknown>>
  readonly content?: Readonly<Record<string, { readonly schema: object }>>
}

interface Route {
  readonly method: string
  readonly pattern: RegExp
  readonly operation: DescribedOperation
}

/** Another check of an answer; throws. @param id that of the operation in the document */
export type FurtherCheck = (seen: AnswerSeen, id: string) => void

/** Answers that have no body whatever the description says. */
const BODILESS = new Set(['HEAD'])

/**
 * Compares answers with what `/openapi.json` says about their operations: the status, the type, the header
 * `x-castellan-persisted`, and the body, which may have no member that is not described.
 */
export class DescribedAnswers {
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false })
  readonly #validators = new Map<object, ValidateFunction>()
  readonly #routes: readonly Route[]
  readonly #streams: ReadonlySet<string>
  readonly #errors: ValidateFunction

  /**
   * @param streams ids of operations whose answer 200 is one JSON text after the other, each with a line end
   * @param errors the body of answers to what is no operation
   */
  constructor(name: string, operations: readonly Operation[], streams: readonly string[], errors: object) {
    const { paths } = toDocument('test', '1', [{ name, prefix: '', operations }]) as {
      paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
    }
    this.#routes = Object.entries(paths)
      .sort(([one], [other]) => parametersIn(one) - parametersIn(other))
      .flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => ({
          method: method.toUpperCase(),
          pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}/?$`),
          operation
        }))
      )
    this.#streams = new Set(streams)
    this.#errors = this.#ajv.compile(errors)
  }

  /** Throws when an answer is not described. @returns the operation's id; `undefined`: it is no operation's */
  check(seen: AnswerSeen): string | undefined {
    const path = seen.path.split('?', 1)[0]!
    const route = this.#routes.find(({ method, pattern }) => method === seen.method && pattern.test(path))
    if (BODILESS.has(seen.method)) return undefined
    if (route === undefined) {
      if (seen.status < 400 || !this.#errors(JSON.parse(seen.body))) fail(seen, 'it is no operation, and no error')
      return undefined
    }
    this.#checkOperation(seen, route.operation)
    return route.operation.operationId
  }

  #checkOperation(seen: AnswerSeen, { operationId, responses }: DescribedOperation): void {
    const { status, body, persisted } = seen
    const response = responses[status]
    if (response === undefined) fail(seen, `${operationId} has no answer ${status}`)
    const isSaid = response!.headers['x-castellan-persisted'] !== undefined
    if (isSaid !== (persisted !== undefined)) fail(seen, `x-castellan-persisted is ${persisted}`)
    const [type] = (seen.type ?? '').toLowerCase().split(';')
    const { content = {} } = response!
    // What is refused before its API sees it has no body, nor has an answer that is described for modern clients only.
    const types = Object.keys(content)
    const isModern = (type: string): boolean => type === MODERN_TYPE || isReceipt(content[type]!.schema)
    if (body === '' && (types.every(isModern) || '*/*' in content)) return
    const schema = content[type!]?.schema
    if (schema === undefined) fail(seen, `${operationId} ${status} has no type ${type}`)
    const texts =
      status === 200 && this.#streams.has(operationId) && !type!.includes('castellan') ? linesOf(seen) : [body]
    const validate = this.#validatorOf(schema!)
    for (const text of texts) {
      if (!validate(JSON.parse(text))) fail(seen, `${operationId} ${status}: ${this.#ajv.errorsText(validate.errors)}`)
    }
  }

  #validatorOf(schema: object): ValidateFunction {
    const made = this.#validators.get(schema) ?? this.#ajv.compile(closed(schema) as object)
    this.#validators.set(schema, made)
    return made
  }
}

/** The answer to `Prefer: respond-async`, where the API's own answer has no body. */
const isReceipt = ({ required }: { readonly required?: readonly string[] }): boolean => required?.join() === 'receipt'

const parametersIn = (path: string): number => path.split('{').length

function linesOf(seen: AnswerSeen): readonly string[] {
  if (!seen.body.endsWith('\r\n')) fail(seen, 'the last record has no line end')
  return seen.body.slice(0, -2).split('\r\n')
}

function fail({ method, path, status, type, body }: AnswerSeen, problem: string): never {
  throw new Error(`${method} ${path} was answered ${status} ${type} ${body.slice(0, 1_000)}\n${problem}`)
}

/** The same schema, whose objects have no further members. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const members = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return 'properties' in members ? { additionalProperties: false, ...members } : members
}

/** The servers whose answers are compared, by the URL that begins those of their requests. */
const checkedServers = new Map<string, (seen: AnswerSeen) => void>()

/** Compares every answer that clients of the tests get from a server. @returns what ends it */
export function checkAnswersOf(url: string, check: (seen: AnswerSeen) => void): () => void {
  checkedServers.set(url, check)
  return () => void checkedServers.delete(url)
}

/** Compares an answer if its server is one of those. @param seen `path` is the whole URL */
export function checkAnswer(seen: AnswerSeen): void {
  for (const [url, check] of checkedServers) {
    if (seen.path === url || (/^[/?]/.test(seen.path.slice(url.length)) && seen.path.startsWith(url))) {
      check({ ...seen, path: seen.path.slice(url.length) || '/' })
      return
    }
  }
}
