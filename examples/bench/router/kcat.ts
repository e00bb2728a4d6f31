import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'

/** What reading a topic to its end cost, once or more often. */
export interface KcatReport {
  /** Bytes of record values. */
  readonly counted: number
  readonly seconds: number
  /** CPU of the whole process, its start included. */
  readonly cpuMicros: number
}

export interface KcatRun {
  readonly bootstrap: string
  readonly topic: string
  /** Bytes of all record values of the topic. */
  readonly valueBytes: number
  readonly partitionMaxBytes: number
  readonly measureMs: number
}

const TIMEOUT_MS = 60_000
/** Elapsed seconds, user and system time of the command. Only bash tells them in milliseconds. */
const TIMED = 'TIMEFORMAT="%R %U %S"; time "$@"'

/** kcat is a thin program around librdkafka, the client in C; its reading is librdkafka's. */
export const hasKcat = (): boolean =>
  [['kcat', '-V'] as const, ['bash', '--version'] as const].every(
    ([command, flag]) => spawnSync(command, [flag], { stdio: 'ignore' }).status === 0
  )

/** Reads the whole topic again and again, each time by a new process, without printing anything. */
export async function readByKcat(run: KcatRun): Promise<KcatReport> {
  const report = { counted: 0, seconds: 0, cpuMicros: 0 }
  for (const end = performance.now() + run.measureMs; performance.now() < end; ) {
    const [seconds, user, system] = await timed(run)
    report.counted += run.valueBytes
    report.seconds += seconds
    report.cpuMicros += (user + system) * 1e6
  }
  return report
}

async function timed({ bootstrap, topic, partitionMaxBytes }: KcatRun): Promise<[number, number, number]> {
  const reading = ['kcat', '-C', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '']
  const settings = ['-X', `fetch.message.max.bytes=${partitionMaxBytes}`]
  const { stderr } = await promisify(execFile)('bash', ['-c', TIMED, 'bash', ...reading, ...settings], {
    timeout: TIMEOUT_MS,
    env: { ...process.env, LC_ALL: 'C' }
  })
  return stderr.trim().split(/\s+/).slice(-3).map(Number) as [number, number, number]
}
