import { spawn } from 'node:child_process'
import { javaArguments, kafkaClasspath, kafkaVersion } from './jars.js'

/** Main classes of Kafka's console tools. Some moved between 3.9 and 4.0. */
export const tools = {
  topics: 'org.apache.kafka.tools.TopicCommand',
  consoleProducer: kafkaVersion.startsWith('3.')
    ? 'kafka.tools.ConsoleProducer'
    : 'org.apache.kafka.tools.ConsoleProducer',
  consoleConsumer: 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  consumerGroups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  verifiableProducer: 'org.apache.kafka.tools.VerifiableProducer',
  verifiableConsumer: 'org.apache.kafka.tools.VerifiableConsumer',
  producerPerformance: 'org.apache.kafka.tools.ProducerPerformance',
  consumerPerformance: 'org.apache.kafka.tools.ConsumerPerformance',
  getOffsets: 'org.apache.kafka.tools.GetOffsetShell',
  deleteRecords: 'org.apache.kafka.tools.DeleteRecordsCommand',
  leaderElection: 'org.apache.kafka.tools.LeaderElectionCommand',
  reassignPartitions: 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand',
  acls: kafkaVersion.startsWith('3.') ? 'kafka.admin.AclCommand' : 'org.apache.kafka.tools.AclCommand',
  configs: 'kafka.admin.ConfigCommand',
  apiVersions: 'org.apache.kafka.tools.BrokerApiVersionsCommand'
} as const

export interface ToolRun {
  readonly input?: string
  /** Default 60,000. */
  readonly timeoutMs?: number
  /** Ends the tool with SIGTERM, as Ctrl-C would, once its output has this; its exit code does not count then. */
  readonly until?: RegExp
  /** Ends the tool with SIGTERM as well, whatever its output has; its exit code does not count then. */
  readonly signal?: AbortSignal
}

/**
 * Runs a console tool of Kafka and gives back its standard output.
 *
 * @throws Error with everything it wrote, when it fails or takes too long
 */
export async function runTool(name: keyof typeof tools, args: readonly string[], run: ToolRun = {}): Promise<string> {
  const classpath = await kafkaClasspath()
  return await new Promise((resolve, reject) => {
    const child = spawn('java', [...javaArguments(classpath, 192), tools[name], ...args])
    let output = ''
    let complaints = ''
    let satisfied = false
    const timer = setTimeout(() => child.kill('SIGKILL'), run.timeoutMs ?? 60_000)
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (run.until?.test(output) && !satisfied) end()
    })
    const end = (): void => {
      satisfied = true
      child.kill('SIGTERM')
    }
    run.signal?.addEventListener('abort', end, { once: true })
    child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
    child.stdin.on('error', () => {})
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      if (satisfied || (code === 0 && !run.until)) resolve(output)
      else reject(new Error(`${name} ${args.join(' ')} ended with ${signal ?? code}:\n${output}\n${complaints}`))
    })
    child.stdin.end(run.input ?? '')
  })
}
