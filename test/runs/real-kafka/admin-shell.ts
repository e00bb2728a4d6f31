import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { javaArguments, kafkaFolder } from './jars.js'
import type { Workspace } from './workspace.js'

const answerTimeoutMs = 30_000

/** Kafka's own admin client (AdminShell.java) as one long-lived process. */
export class AdminShell {
  readonly #process: ChildProcess
  readonly #waiting = new Map<string, (status: string, text: string) => void>()
  #sent = 0

  constructor(workspace: Workspace, classpath: string, bootstrap: string) {
    const args = [...javaArguments(classpath, 128, 'ERROR'), join(kafkaFolder, 'AdminShell.java'), bootstrap]
    this.#process = workspace.start('admin', 'java', args, { stdio: ['pipe', 'pipe', 'ignore'] })
    createInterface({ input: this.#process.stdout! }).on('line', line => {
      const [id = '', status = '', text = ''] = line.split('\t')
      this.#waiting.get(id)?.(status, text)
      this.#waiting.delete(id)
    })
    this.#process.once('exit', () => {
      for (const answer of this.#waiting.values()) answer('error', 'the admin process has ended')
      this.#waiting.clear()
    })
    this.#process.stdin!.on('error', () => {})
  }

  /** @throws Error with the Java exception's class and message */
  ask(command: string, ...args: (string | number)[]): Promise<string> {
    const id = String(++this.#sent)
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${command} ${args.join(' ')}: ${why}`))
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        fail(`no answer within ${answerTimeoutMs} ms`)
      }, answerTimeoutMs)
      this.#waiting.set(id, (status, text) => {
        clearTimeout(timer)
        status === 'ok' ? resolve(text) : fail(text)
      })
      this.#process.stdin!.write(`${[id, command, ...args].join('\t')}\n`)
    })
  }
}
