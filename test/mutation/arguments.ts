import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { wholeNumber } from '../../src/cli/options.js'
import { countOption, listOption, numberFrom, toolOptions, usageError } from '../support/tool-options.js'
import { changedSince } from './changed-lines.js'
import type { Lines } from './mutants.js'
import { chosenFiles, roomOf, roomsWithTests, sourcesOf, testsOf } from './rooms.js'

interface Options {
  /** Of each room. */
  readonly sample: number
  readonly seed: number
  /** Only files whose path contains one of these, or, behind a `!`, none. */
  readonly file: readonly string[]
  /** Only these tests, in the same way. */
  readonly tests: readonly string[]
  readonly minutes: number
  readonly jobs: number
  readonly list: boolean
  readonly verbose: boolean
}

export interface MutateArguments extends Options {
  /** In the order in which they are tried. */
  readonly rooms: readonly string[]
  /** Only these lines. Absent: all of them. */
  readonly changed?: ReadonlyMap<string, readonly Lines[]> | undefined
}

const command = new Command('npm run mutate --')
  .description('Changes the sources of a room in one place at a time and sees whether its tests notice.')
  .addArgument(new Argument('[ROOM...]', 'folders of src that have tests').choices(roomsWithTests()))
  .addOption(
    new Option('--sample <N>', 'so many mutants of each room, drawn by lot; all: every one')
      .argParser(toSample)
      .default(60)
  )
  .addOption(countOption('--seed <N>', 'another seed draws others', 1, 0))
  .addOption(listOption('--file <PATTERN>', 'only files whose path contains this, or, behind a !, only others'))
  .addOption(
    listOption('--tests <PATTERN>', 'only these tests of the room, in the same way: what is left out notices nothing')
  )
  .option('--changed <COMMIT>', 'instead of a room: only lines of src that changed since then, most changed room first')
  .addOption(new Option('--minutes <M>', 'begins no new mutant afterwards').argParser(numberFrom(0)).default(600))
  .addOption(countOption('--jobs <N>', 'processes side by side', 1))
  .option('--list', 'shows the sample without running anything', false)
  .option('--verbose', 'shows what became of each mutant, not only of those that nothing noticed', false)

function toSample(text: string): number {
  if (text === 'all') return Number.POSITIVE_INFINITY
  try {
    return wholeNumber(1)(text)
  } catch {
    throw new InvalidArgumentError('a whole number of at least 1, or all')
  }
}

/** The arguments of this process. A mistake ends it with one line. */
export async function readArguments(): Promise<MutateArguments> {
  const { changed: commit, ...options } = toolOptions<Options & { readonly changed?: string }>(command)
  const named = command.args
  if (commit === undefined) return { ...options, rooms: roomsNamed(named, options) }
  if (named.length > 0) usageError(command, `--changed ${commit} takes the rooms that changed: leave ${named} out`)
  const changed = await changedSince(commit).catch(() =>
    usageError(command, `--changed ${commit}: there is no such commit`)
  )
  return { ...options, changed, rooms: changedRooms(changed) }
}

function roomsNamed(rooms: readonly string[], { file, tests }: Options): readonly string[] {
  if (rooms.length === 0) usageError(command, `name a room: ${roomsWithTests().join(', ')}`)
  for (const room of rooms) {
    if (chosenFiles(sourcesOf(room), file).length === 0)
      usageError(command, `--file ${file}: no source of ${room} is left`)
    if (chosenFiles(testsOf(room), tests).length === 0)
      usageError(command, `--tests ${tests}: no test of ${room} is left`)
  }
  return rooms
}

/** Rooms that changed, the one with the most lines first. */
function changedRooms(changed: ReadonlyMap<string, readonly Lines[]>): string[] {
  const lines = new Map<string, number>()
  for (const [file, ranges] of changed) {
    const room = roomOf(file)
    if (room === undefined || testsOf(room).length === 0) continue
    const count = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
    lines.set(room, (lines.get(room) ?? 0) + count)
  }
  return [...lines.keys()].sort((a, b) => lines.get(b)! - lines.get(a)!)
}
