import type { RegistryAnswer, RegistryRequest, Transport } from '../../src/schemas/transport.js'

/** A schema in the body of a request. */
interface Posted {
  readonly schema: string
  readonly schemaType?: string
  readonly references?: readonly unknown[]
}

interface Stored extends Posted {
  readonly id: number
}

interface ScriptedAnswer {
  readonly status: number
  readonly body: unknown
}

export type Script = (request: RegistryRequest) => ScriptedAnswer | undefined | Promise<ScriptedAnswer | undefined>

const answer = (status: number, body: unknown): RegistryAnswer => ({
  status,
  body: (async function* () {
    yield Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  })()
})

/** A schema registry in memory that keeps what is registered, and answers as Confluent's does. */
export class ScriptedRegistry implements Transport {
  readonly #schemas: Stored[] = []
  readonly #subjects = new Map<string, Stored[]>()
  /** Versions that are found only by who asks for deleted ones, too. */
  readonly #deleted = new Set<string>()
  /** The calls so far: `POST /subjects/orders-value`. */
  readonly calls: string[] = []
  /** Answers in place of the registry, where it returns something. */
  script: Script = () => undefined
  isClosed = false

  /** Adds a schema to a subject; the same text has the same id everywhere. */
  add(subject: string, posted: Posted | string): number {
    const { schema, schemaType, references } = typeof posted === 'string' ? { schema: posted } : posted
    const text = JSON.stringify([schema, schemaType, references])
    let stored = this.#schemas.find(one => JSON.stringify([one.schema, one.schemaType, one.references]) === text)
    if (stored === undefined) {
      stored = {
        schema,
        id: this.#schemas.length + 1,
        ...(schemaType && { schemaType }),
        ...(references && { references })
      }
      this.#schemas.push(stored)
    }
    const versions = this.#subjects.get(subject) ?? []
    if (!versions.includes(stored)) versions.push(stored)
    this.#subjects.set(subject, versions)
    return stored.id
  }

  softDelete(subject: string, version: number): void {
    this.#deleted.add(`${subject}/${version}`)
  }

  async send(request: RegistryRequest): Promise<RegistryAnswer> {
    const { method, url, body } = request
    const { pathname, search } = new URL(url)
    this.calls.push(`${method} ${decodeURIComponent(pathname)}`)
    const scripted = await this.script(request)
    if (scripted !== undefined) return answer(scripted.status, scripted.body)
    const [, first, second, third, fourth] = pathname.split('/').map(decodeURIComponent)
    if (first === 'schemas' && second === 'ids') return this.#byId(Number(third))
    if (first === 'subjects' && method === 'GET' && third === 'versions')
      return this.#byVersion(second!, fourth!, search === '?deleted=true')
    if (first === 'subjects' && method === 'POST') {
      const posted = JSON.parse(body!) as Posted
      return third === 'versions' ? answer(200, { id: this.add(second!, posted) }) : this.#lookUp(second!, posted)
    }
    return answer(404, { error_code: 404, message: 'HTTP 404 Not Found' })
  }

  close(): void {
    this.isClosed = true
  }

  #byId(id: number): RegistryAnswer {
    const stored = this.#schemas[id - 1]
    if (stored === undefined) return answer(404, { error_code: 40403, message: `Schema ${id} not found` })
    const { id: _, ...shown } = stored
    return answer(200, shown)
  }

  #byVersion(subject: string, wanted: string, withDeleted: boolean): RegistryAnswer {
    const versions = this.#subjects.get(subject)
    if (versions === undefined) return answer(404, { error_code: 40401, message: `Subject '${subject}' not found.` })
    const version = wanted === 'latest' ? versions.length : Number(wanted)
    const stored = withDeleted || !this.#deleted.has(`${subject}/${version}`) ? versions[version - 1] : undefined
    if (stored === undefined) return answer(404, { error_code: 40402, message: `Version ${wanted} not found.` })
    return answer(200, { subject, version, ...stored })
  }

  #lookUp(subject: string, { schema, schemaType, references }: Posted): RegistryAnswer {
    const versions = this.#subjects.get(subject)
    if (versions === undefined) return answer(404, { error_code: 40401, message: `Subject '${subject}' not found.` })
    const text = JSON.stringify([schema, schemaType, references])
    const at = versions.findIndex(one => JSON.stringify([one.schema, one.schemaType, one.references]) === text)
    if (at < 0) return answer(404, { error_code: 40403, message: 'Schema not found' })
    return answer(200, { subject, version: at + 1, ...versions[at]! })
  }
}
