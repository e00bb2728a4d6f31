import { rmSync } from 'node:fs'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const open = new Set<string>()
process.once('exit', () => {
  for (const folder of open) removeNow(folder)
})

/** Programs that this process started may still write while it ends. Then the rest of the folder stays. */
function removeNow(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  } catch (error) {
    console.error(`${folder} could not be removed: ${String(error)}`)
  }
}

/**
 * A copy of some files and folders of the project, with its packages, in which sources may be changed.
 *
 * @returns the folder; it is removed by {@link removeCopy}, or when the process ends
 */
export async function copyProject(name: string, paths: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `castellan-${name}-`))
  open.add(folder)
  for (const path of paths) await cp(path, join(folder, path), { recursive: true })
  await symlink(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
  return folder
}

export async function removeCopy(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  open.delete(folder)
}
