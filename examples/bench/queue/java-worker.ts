import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { javaArguments, kafkaClasspath } from '../../../test/runs/real-kafka/jars.js'

const PROGRAM = fileURLToPath(new URL('ShareWorker.java', import.meta.url))
const HEAP_MB = 256
const TIMEOUT_MS = 60_000

/** Whether there is a JDK, and Maven for the jars of Kafka. */
export const hasJava = (): boolean =>
  ['java', 'mvn'].every(program => spawnSync(program, ['-version'], { stdio: 'ignore' }).error === undefined)

export interface JavaRun {
  readonly bootstrap: string
  readonly topic: string
  readonly groupId: string
  readonly count: number
  readonly warmUpMs: number
  readonly measureMs: number
}

/** Runs Kafka's own share consumer for a window. The group must begin at its earliest message. */
export async function runJavaWorker(run: JavaRun): Promise<{ readonly messages: number; readonly seconds: number }> {
  const { bootstrap, topic, groupId, count, warmUpMs, measureMs } = run
  // The flag that makes a JVM of the tests quick to start makes it slow later.
  const flags = javaArguments(await kafkaClasspath(), HEAP_MB, 'ERROR').filter(flag => !flag.includes('TieredStop'))
  const words = [bootstrap, topic, groupId, count, warmUpMs, measureMs].map(String)
  const child = spawn('java', [...flags, PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS + warmUpMs + measureMs)
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  clearTimeout(timer)
  const [, messages, ms] = /^(\d+)\t([\d.]+)$/m.exec(output) ?? []
  if (code !== 0 || ms === undefined) throw new Error(`Kafka's share consumer ended with code ${code}: ${output}`)
  return { messages: Number(messages), seconds: Number(ms) / 1_000 }
}
