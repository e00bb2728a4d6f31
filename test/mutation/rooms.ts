import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Where the tests are that answer for a room, as folders and files: in its folder, and where it is used. Rooms with hardly
 * any tests of their own have those of the room through which they are used.
 */
const testFolders: Readonly<Record<string, readonly string[]>> = {
  apis: [
    'test/apis',
    'test/http/server/openapi.socket.test.ts',
    ...['arion', 'kafboy', 'pixy-scenario'].map(name => `test/integration/${name}.socket.test.ts`)
  ],
  'router/dispatcher': ['test/router/dispatcher', 'test/router/routing'],
  'http/server': ['test/http/server', 'test/http/access/access-over-http.socket.test.ts'],
  'router/processors': ['test/router/processors', 'test/router/routing'],
  'producer/log': ['test/producer/log', 'test/cli/commands/wal.socket.test.ts']
}

/** Rooms whose folders are measured one by one. */
const divided = ['consumer', 'core', 'http', 'producer', 'router', 'server']

/** These take minutes, or measure a whole gateway with tools of the operating system. */
const leftOut = /\.(system|explore)\.test\.ts$/

/** The source files of a room, from the root of the project. */
export const sourcesOf = (room: string): string[] =>
  filesIn(`src/${room}`).filter(file => file.endsWith('.ts') && !file.endsWith('.d.ts'))

/** Those files whose path contains one of the patterns, all when there are none, and none of those that follow a `!`. */
export function chosenFiles(files: readonly string[], patterns: readonly string[]): string[] {
  const unwanted = patterns.filter(pattern => pattern.startsWith('!')).map(pattern => pattern.slice(1))
  const wanted = patterns.filter(pattern => !pattern.startsWith('!'))
  const isWanted = (file: string): boolean => wanted.length === 0 || wanted.some(part => file.includes(part))
  return files.filter(file => isWanted(file) && !unwanted.some(part => file.includes(part)))
}

/** The test files of a room. */
export const testsOf = (room: string): string[] =>
  (testFolders[room] ?? [`test/${room}`])
    .flatMap(filesIn)
    .filter(file => file.endsWith('.test.ts') && !leftOut.test(file))

/** The rooms that can be measured: folders of `src`, and their folders where a room is divided. */
export const roomsWithTests = (): string[] =>
  foldersIn('src')
    .flatMap(room => (divided.includes(room) ? foldersIn(`src/${room}`).map(part => `${room}/${part}`) : [room]))
    .filter(room => testsOf(room).length > 0)
    .sort()

const foldersIn = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(({ name }) => name)

function filesIn(folder: string): string[] {
  if (folder.endsWith('.ts')) return [folder]
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
}
