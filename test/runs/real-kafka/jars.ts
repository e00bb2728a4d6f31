import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export const kafkaFolder = import.meta.dirname

/** The Kafka the tests run against; another one by `KAFKA_VERSION` in the environment. */
export const kafkaVersion = process.env.KAFKA_VERSION || '4.3.1'

let classpath: Promise<string> | undefined

/** The class path of brokers, tools and clients. Maven downloads what its own local repository does not have yet. */
export function kafkaClasspath(): Promise<string> {
  classpath ??= askMaven()
  return classpath
}

async function askMaven(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'castellan-jars-'))
  const answer = join(folder, 'classpath')
  const goal = ['dependency:build-classpath', `-Dkafka.version=${kafkaVersion}`, `-Dmdep.outputFile=${answer}`]
  try {
    await promisify(execFile)('mvn', ['-B', '-q', '-f', join(kafkaFolder, 'pom.xml'), ...goal])
    return (await readFile(answer, 'utf8')).trim()
  } catch (error) {
    const output = (error as { stdout?: string }).stdout ?? ''
    throw new Error(`mvn could not get Apache Kafka ${kafkaVersion}:\n${output}`, { cause: error })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Arguments that every JVM of the tests gets: quick to start on few cores, and a log that only warns. */
export const javaArguments = (classPath: string, heapMb: number, logLevel = 'WARN'): string[] => [
  `-Xmx${heapMb}m`,
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Xshare:auto',
  `-Dcastellan.log.level=${logLevel}`,
  `-Dlog4j.configuration=file:${join(kafkaFolder, 'log4j.properties')}`,
  '-cp',
  classPath
]
