import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { SchemaFormat, SchemaReference } from '../../../src/schemas/schemas.js'

export interface SerdeRequest {
  readonly op: 'write' | 'read'
  readonly format: SchemaFormat
  readonly topic: string
  readonly schema: string
  /** An expression of Python. */
  readonly value: string
  readonly references?: readonly SchemaReference[]
  /** Of Protobuf: the path of the message's names. */
  readonly message?: string
  readonly hex?: string
}

interface SerdeAnswer {
  readonly hex?: string
  readonly same?: boolean
  readonly found?: string
  readonly wanted?: string
}

/** Confluent's serializers of Python, in a process of their own. */
export class PythonSerde {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(python: string, url: string) {
    const script = join(import.meta.dirname, 'serde.py')
    this.#child = spawn(python, [script, url], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  async ask(request: SerdeRequest): Promise<SerdeAnswer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`)
    const { value } = await this.#lines.next()
    const { error, ...answer } = JSON.parse(value as string) as SerdeAnswer & { readonly error?: string }
    if (error !== undefined) throw new Error(error)
    return answer
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}
