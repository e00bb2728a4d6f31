import { spawnSync } from 'node:child_process'

/** Programs of other packages that the suite against real Kafka needs, and the Debian package that has each. */
const packageOf = new Map([
  ['java', 'openjdk-17-jdk-headless'],
  ['keytool', 'openjdk-17-jdk-headless'],
  ['mvn', 'maven'],
  ['kcat', 'kcat']
])

const versionFlag = new Map([
  ['kcat', '-V'],
  ['keytool', '-help']
])

/**
 * Makes sure that the named programs can be run.
 *
 * @throws Error naming every missing program and the command that installs it; nothing is ever skipped for its absence
 */
export function requirePrograms(...programs: string[]): void {
  const missing = programs.filter(
    program => spawnSync(program, [versionFlag.get(program) ?? '-version'], { stdio: 'ignore' }).error !== undefined
  )
  if (missing.length === 0) return
  const packages = [...new Set(missing.map(program => packageOf.get(program) ?? program))]
  throw new Error(
    `not found: ${missing.join(', ')}. The tests against real Kafka need them; on Debian and Ubuntu: ` +
      `apt-get install -y ${packages.join(' ')}`
  )
}
