import { spawn } from 'node:child_process'

/** A record as kcat reads it: bytes, not text. */
export interface KcatRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

interface Run {
  readonly input?: Buffer | string
  readonly timeoutMs?: number
}

/**
 * Runs kcat to its end.
 *
 * @throws Error with what it wrote to stderr, when it fails or takes longer than `timeoutMs` (default 60,000)
 */
export function kcat(args: readonly string[], { input = '', timeoutMs = 60_000 }: Run = {}): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn('kcat', args, { stdio: ['pipe', 'pipe', 'pipe'] })
    const output: Buffer[] = []
    let complaints = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
    child.stdin.on('error', () => {})
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      if (code === 0) resolve(Buffer.concat(output))
      else reject(new Error(`kcat ${args.join(' ')} ended with ${signal ?? code}:\n${complaints}`))
    })
    child.stdin.end(input)
  })
}

// Delimiters that occur in no key or value of the tests; kcat takes strings of any length.
const recordEnd = '<<record>>'
const keyEnd = '<<key>>'

/** Produces keyed records in order. `options` go to kcat as they are: `-z gzip`, `-p 0`, `-X acks=all`, … */
export async function kcatProduce(
  bootstrap: string,
  topic: string,
  records: readonly { readonly key: Buffer | string; readonly value: Buffer | string }[],
  ...options: string[]
): Promise<void> {
  const input = Buffer.concat(
    records.flatMap(({ key, value }) => [
      Buffer.from(key),
      Buffer.from(keyEnd),
      Buffer.from(value),
      Buffer.from(recordEnd)
    ])
  )
  await kcat(['-P', '-b', bootstrap, '-t', topic, '-K', keyEnd, '-D', recordEnd, ...options], { input })
}

// Topic, partition, offset, lengths, then the bytes: lengths make any byte safe.
const format = '%t %p %o %K %S\\n%k%s'

/** Reads a topic, or one partition with `-p N`, from the beginning to its end. */
export async function kcatConsume(bootstrap: string, topic: string, ...options: string[]): Promise<KcatRecord[]> {
  return parse(
    await kcat(['-C', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-f', format, ...options])
  )
}

/** Reads topics as a member of a group, to the end of all partitions. */
export async function kcatGroup(bootstrap: string, group: string, topics: readonly string[]): Promise<KcatRecord[]> {
  const options = ['-X', 'auto.offset.reset=earliest', '-X', 'session.timeout.ms=6000']
  return parse(await kcat(['-b', bootstrap, '-G', group, '-e', '-q', '-f', format, ...options, ...topics]))
}

function parse(output: Buffer): KcatRecord[] {
  const records: KcatRecord[] = []
  for (let at = 0; at < output.length; ) {
    const lineEnd = output.indexOf(10, at)
    const [topic = '', ...numbers] = output.toString('utf8', at, lineEnd).split(' ')
    const [partition, offset, keyLength, valueLength] = numbers.map(Number) as [number, number, number, number]
    const take = (length: number): Buffer | null => {
      if (length < 0) return null
      const bytes = output.subarray(at, at + length)
      at += length
      return bytes
    }
    at = lineEnd + 1
    records.push({ topic, partition, offset, key: take(keyLength), value: take(valueLength) })
  }
  return records
}
