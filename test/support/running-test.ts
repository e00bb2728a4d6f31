const EXPLORED = /\.(socket|system|explore)\.test\.ts$/

/** The file of the test that runs; empty: none does. Set by decided.ts. */
export const running = { file: '' }

/** Whether the test that runs has to give the same run on any machine. */
export const isDecided = (): boolean => running.file !== '' && !EXPLORED.test(running.file)
