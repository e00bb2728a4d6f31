import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { makePackage, packFolder } from '../../../.ci/pack.js'
import { emitDeclarations } from '../../../.ci/prepack.js'
import { OWN_FOLDER } from './own-folder.js'

export interface Installed {
  readonly folder: string
  /** With the package itself and all that it needs. */
  readonly packages: number
  readonly mb: number
}

/** The registry, or the npm cache of this machine, does not give all that a package needs. */
export class NotInstalled extends Error {
  constructor(name: string) {
    super(`not measured: npm cannot install ${name} here, which needs a registry or its files in the cache of npm`)
  }
}

const BYTES_PER_MB = 1_000_000
const all = new Map<string, Promise<Installed>>()

/**
 * Installs a package alone, from the registry or, if it is `castellan-client`, from this tree, without what is optional.
 * Each package is installed once.
 *
 * @throws NotInstalled
 */
export function installed(name: string): Promise<Installed> {
  const known = all.get(name) ?? install(name)
  all.set(name, known)
  return known
}

async function install(name: string): Promise<Installed> {
  const folder = resolve(OWN_FOLDER, 'installed', name.replace('/', '-'))
  mkdirSync(folder, { recursive: true })
  const source = name === 'castellan-client' ? await archiveOfClient(folder) : name
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
  const once = ['--prefer-offline', '--fetch-retries=0']
  const args = ['install', '--omit=optional', '--no-audit', '--no-fund', '--silent', ...once, source]
  try {
    execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  } catch {
    throw new NotInstalled(name)
  }
  const listed = execFileSync('npm', ['ls', '--all', '--parseable'], { cwd: folder, encoding: 'utf8' })
  const modules = join(folder, 'node_modules')
  const sizes = readdirSync(modules, { recursive: true, encoding: 'utf8' }).map(
    file => statSync(join(modules, file)).size
  )
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  return { folder, packages: listed.trim().split('\n').length - 1, mb: bytes / BYTES_PER_MB }
}

async function archiveOfClient(folder: string): Promise<string> {
  const made = join(folder, 'made')
  mkdirSync(made, { recursive: true })
  emitDeclarations()
  await makePackage('castellan-client', made)
  return packFolder(made, folder)
}
