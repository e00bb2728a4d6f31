import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePorts } from '../real-kafka/ports.js'
import { kill, Workspace } from '../real-kafka/workspace.js'

const VERSION = '3.0.9'
const CACHE = resolve('.cache/registry')
const PYTHON_PACKAGES = ['confluent-kafka[avro,json,protobuf]==2.16.1', 'grpcio-tools==1.85.1']
const START_LIMIT_MS = 120_000
const PAUSE_MS = 200

/** A real registry, Apicurio's, with schemas in memory. */
export interface RealRegistry {
  readonly url: string
  /** Python with Confluent's serializers. */
  readonly python: string
  readonly pid: number
  stop(): Promise<void>
}

/** The folder of the registry's jars. Maven gets them where its own repository does not have them yet. */
function installedRegistry(): string {
  const folder = join(CACHE, `apicurio-${VERSION}`)
  if (existsSync(join(folder, 'lib'))) return folder
  const zip = join(
    homedir(),
    `.m2/repository/io/apicurio/apicurio-registry-app/${VERSION}/apicurio-registry-app-${VERSION}-all.zip`
  )
  const artifact = `io.apicurio:apicurio-registry-app:${VERSION}:zip:all`
  // What counts is the file: the goal also fails for a parent of its description that a mirror does not have.
  const got = spawnSync('mvn', ['-B', '-q', 'dependency:get', '-Dtransitive=false', `-Dartifact=${artifact}`])
  if (!existsSync(zip)) throw new Error(`mvn could not get ${artifact}:\n${String(got.stdout)}`, { cause: got.error })
  mkdirSync(folder, { recursive: true })
  execFileSync('unzip', ['-q', '-o', zip, '-d', folder])
  return folder
}

function installedPython(): string {
  const folder = join(CACHE, 'python')
  const python = join(folder, 'bin/python')
  if (existsSync(join(folder, 'bin/pip')) && isInstalled(python)) return python
  execFileSync('python3', ['-m', 'venv', folder])
  execFileSync(join(folder, 'bin/pip'), ['-q', 'install', ...PYTHON_PACKAGES], { stdio: 'inherit' })
  return python
}

const isInstalled = (python: string): boolean =>
  spawnSync(python, ['-c', 'import confluent_kafka, fastavro, grpc_tools']).status === 0

export async function startRegistry(): Promise<RealRegistry> {
  const [folder, python, [port]] = [installedRegistry(), installedPython(), await freePorts(1)]
  const jar = readdirSync(folder).find(name => name.endsWith('-runner.jar'))!
  const workspace = new Workspace()
  const address = ['-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`]
  const child = workspace.start('registry', 'java', ['-Xmx512m', ...address, '-jar', join(folder, jar)])
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const endsAt = performance.now() + START_LIMIT_MS
  while (!(await isUp(url))) {
    if (child.exitCode !== null || performance.now() > endsAt) {
      throw new Error(
        `the registry does not start: ${execFileSync('tail', [workspace.path('registry.log')]).toString()}`
      )
    }
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  }
  return {
    url,
    python,
    pid: child.pid!,
    stop: async () => {
      await kill(child, 'SIGTERM')
      await workspace.close()
    }
  }
}

const isUp = (url: string): Promise<boolean> =>
  fetch(`${url}/subjects`).then(
    ({ ok }) => ok,
    () => false
  )
