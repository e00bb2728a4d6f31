import { httpSettings } from '../../src/http/server/settings.js'

/** The value of `http.engine` that leaves HTTP to `node:http`. */
export const NODE = 'node'
/** The engine of our own. */
export const OWN = 'castellan'

/** Whether this version has the engine. */
export const hasEngine = (engine: string): boolean => httpSettings.safeParse({ engine }).success

/** Settings of the section `http` that choose an engine. A version without the setting has `node:http`. */
export const engineSettings = (engine: string): object => (hasEngine(engine) ? { engine } : {})

/** All engines of this version. */
export const engines: readonly string[] = [NODE, OWN].filter(engine => engine === NODE || hasEngine(engine))

/**
 * The engine of this run of the tests, as in `HTTP_ENGINE=node npx mocha …`: every gateway that a test starts has it.
 * `undefined`: the default.
 */
const engineOfRun: string | undefined = process.env.HTTP_ENGINE
if (engineOfRun !== undefined && engineOfRun !== NODE && !hasEngine(engineOfRun))
  throw new Error(`HTTP_ENGINE=${engineOfRun}: there is no such engine`)

/** The settings of this run for the section `http`. */
export const settingsOfRun: object = engineOfRun === undefined ? {} : engineSettings(engineOfRun)

/** The same for the environment of a process. */
export const environmentOf = (engine: string | undefined): Record<string, string> =>
  engine === undefined || !hasEngine(engine) ? {} : { CASTELLAN_HTTP_ENGINE: engine }
export const environmentOfRun = environmentOf(engineOfRun)
