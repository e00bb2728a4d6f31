import { PassThrough, Readable } from 'node:stream'
import { run } from '../../src/cli/cli.js'
import type { Process } from '../../src/cli/command.js'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command line in this process; only for those that end by themselves. `parts` replaces what it may touch. */
export async function runCommand(args: readonly string[], parts: Partial<Process> = {}): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const asTerminal = (stream: PassThrough) => stream as unknown as NodeJS.WriteStream
  const code = await run(args, {
    environment: {},
    stdin: Readable.from([]),
    stdout: asTerminal(stdout),
    stderr: asTerminal(stderr),
    stopped: new AbortController().signal,
    crashed: new Promise(() => undefined),
    onHangUp: () => undefined,
    ...parts
  })
  const textOf = (stream: PassThrough): string => (stream.read() as Buffer | null)?.toString() ?? ''
  return { code, stdout: textOf(stdout), stderr: textOf(stderr) }
}
