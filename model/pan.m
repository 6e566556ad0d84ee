#define rand	pan_rand
#define pthread_equal(a,b)	((a)==(b))
#if defined(HAS_CODE) && defined(VERBOSE)
	#ifdef BFS_PAR
		bfs_printf("Pr: %d Tr: %d\n", II, t->forw);
	#else
		cpu_printf("Pr: %d Tr: %d\n", II, t->forw);
	#endif
#endif
	switch (t->forw) {
	default: Uerror("bad forward move");
	case 0:	/* if without executable clauses */
		continue;
	case 1: /* generic 'goto' or 'skip' */
		IfNotBlocked
		_m = 3; goto P999;
	case 2: /* generic 'else' */
		IfNotBlocked
		if (trpt->o_pm&1) continue;
		_m = 3; goto P999;

		 /* CLAIM done_comes */
	case 3: // STATE 1 - _spin_nvr.tmp:11 - [(!((host_over&&(outcome_unknown||((!(held[0])&&!(held[1]))&&!(held[(3-1)]))))))] (0:0:0 - 1)
		
#if defined(VERI) && !defined(NP)
#if NCLAIMS>1
		{	static int reported1 = 0;
			if (verbose && !reported1)
			{	int nn = (int) ((Pclaim *)pptr(0))->_n;
				printf("depth %ld: Claim %s (%d), state %d (line %d)\n",
					depth, procname[spin_c_typ[nn]], nn, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported1 = 1;
				fflush(stdout);
		}	}
#else
		{	static int reported1 = 0;
			if (verbose && !reported1)
			{	printf("depth %d: Claim, state %d (line %d)\n",
					(int) depth, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported1 = 1;
				fflush(stdout);
		}	}
#endif
#endif
		reached[8][1] = 1;
		if (!( !((((int)now.host_over)&&(((int)now.outcome_unknown)||(( !(((int)now.held[0]))&& !(((int)now.held[1])))&& !(((int)now.held[ Index((3-1), 3) ]))))))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 4: // STATE 6 - _spin_nvr.tmp:13 - [-end-] (0:0:0 - 1)
		
#if defined(VERI) && !defined(NP)
#if NCLAIMS>1
		{	static int reported6 = 0;
			if (verbose && !reported6)
			{	int nn = (int) ((Pclaim *)pptr(0))->_n;
				printf("depth %ld: Claim %s (%d), state %d (line %d)\n",
					depth, procname[spin_c_typ[nn]], nn, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported6 = 1;
				fflush(stdout);
		}	}
#else
		{	static int reported6 = 0;
			if (verbose && !reported6)
			{	printf("depth %d: Claim, state %d (line %d)\n",
					(int) depth, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported6 = 1;
				fflush(stdout);
		}	}
#endif
#endif
		reached[8][6] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* CLAIM ends */
	case 5: // STATE 1 - _spin_nvr.tmp:4 - [(!(host_over))] (0:0:0 - 1)
		
#if defined(VERI) && !defined(NP)
#if NCLAIMS>1
		{	static int reported1 = 0;
			if (verbose && !reported1)
			{	int nn = (int) ((Pclaim *)pptr(0))->_n;
				printf("depth %ld: Claim %s (%d), state %d (line %d)\n",
					depth, procname[spin_c_typ[nn]], nn, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported1 = 1;
				fflush(stdout);
		}	}
#else
		{	static int reported1 = 0;
			if (verbose && !reported1)
			{	printf("depth %d: Claim, state %d (line %d)\n",
					(int) depth, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported1 = 1;
				fflush(stdout);
		}	}
#endif
#endif
		reached[7][1] = 1;
		if (!( !(((int)now.host_over))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 6: // STATE 6 - _spin_nvr.tmp:6 - [-end-] (0:0:0 - 1)
		
#if defined(VERI) && !defined(NP)
#if NCLAIMS>1
		{	static int reported6 = 0;
			if (verbose && !reported6)
			{	int nn = (int) ((Pclaim *)pptr(0))->_n;
				printf("depth %ld: Claim %s (%d), state %d (line %d)\n",
					depth, procname[spin_c_typ[nn]], nn, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported6 = 1;
				fflush(stdout);
		}	}
#else
		{	static int reported6 = 0;
			if (verbose && !reported6)
			{	printf("depth %d: Claim, state %d (line %d)\n",
					(int) depth, (int) ((Pclaim *)pptr(0))->_p, src_claim[ (int) ((Pclaim *)pptr(0))->_p ]);
				reported6 = 1;
				fflush(stdout);
		}	}
#endif
#endif
		reached[7][6] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC :init: */
	case 7: // STATE 1 - migration.pml:497 - [p = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[6][1] = 1;
		(trpt+1)->bup.oval = ((int)((P6 *)_this)->p);
		((P6 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval(":init::p", ((int)((P6 *)_this)->p));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 8: // STATE 2 - migration.pml:499 - [((p<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[6][2] = 1;
		if (!((((int)((P6 *)_this)->p)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 9: // STATE 3 - migration.pml:501 - [((p==0))] (16:0:3 - 1)
		IfNotBlocked
		reached[6][3] = 1;
		if (!((((int)((P6 *)_this)->p)==0)))
			continue;
		/* merge: used[p] = 1(16, 4, 16) */
		reached[6][4] = 1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((int)now.used[ Index(((int)((P6 *)_this)->p), 3) ]);
		now.used[ Index(((P6 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("used[:init::p]", ((int)now.used[ Index(((int)((P6 *)_this)->p), 3) ]));
#endif
		;
		/* merge: written[p] = 1(16, 5, 16) */
		reached[6][5] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.written[ Index(((int)((P6 *)_this)->p), 3) ]);
		now.written[ Index(((P6 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("written[:init::p]", ((int)now.written[ Index(((int)((P6 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(16, 12, 16) */
		reached[6][12] = 1;
		;
		/* merge: p = (p+1)(16, 13, 16) */
		reached[6][13] = 1;
		(trpt+1)->bup.ovals[2] = ((int)((P6 *)_this)->p);
		((P6 *)_this)->p = (((int)((P6 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval(":init::p", ((int)((P6 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 17, 16) */
		reached[6][17] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 10: // STATE 6 - migration.pml:502 - [((p!=0))] (16:0:3 - 1)
		IfNotBlocked
		reached[6][6] = 1;
		if (!((((int)((P6 *)_this)->p)!=0)))
			continue;
		/* merge: used[p] = 1(16, 7, 16) */
		reached[6][7] = 1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((int)now.used[ Index(((int)((P6 *)_this)->p), 3) ]);
		now.used[ Index(((P6 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("used[:init::p]", ((int)now.used[ Index(((int)((P6 *)_this)->p), 3) ]));
#endif
		;
		/* merge: written[p] = 1(16, 8, 16) */
		reached[6][8] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.written[ Index(((int)((P6 *)_this)->p), 3) ]);
		now.written[ Index(((P6 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("written[:init::p]", ((int)now.written[ Index(((int)((P6 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(16, 12, 16) */
		reached[6][12] = 1;
		;
		/* merge: p = (p+1)(16, 13, 16) */
		reached[6][13] = 1;
		(trpt+1)->bup.ovals[2] = ((int)((P6 *)_this)->p);
		((P6 *)_this)->p = (((int)((P6 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval(":init::p", ((int)((P6 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 17, 16) */
		reached[6][17] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 11: // STATE 9 - migration.pml:503 - [((p!=0))] (0:0:0 - 1)
		IfNotBlocked
		reached[6][9] = 1;
		if (!((((int)((P6 *)_this)->p)!=0)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 12: // STATE 10 - migration.pml:503 - [(1)] (16:0:1 - 1)
		IfNotBlocked
		reached[6][10] = 1;
		if (!(1))
			continue;
		/* merge: .(goto)(16, 12, 16) */
		reached[6][12] = 1;
		;
		/* merge: p = (p+1)(16, 13, 16) */
		reached[6][13] = 1;
		(trpt+1)->bup.oval = ((int)((P6 *)_this)->p);
		((P6 *)_this)->p = (((int)((P6 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval(":init::p", ((int)((P6 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 17, 16) */
		reached[6][17] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 13: // STATE 13 - migration.pml:505 - [p = (p+1)] (0:16:1 - 4)
		IfNotBlocked
		reached[6][13] = 1;
		(trpt+1)->bup.oval = ((int)((P6 *)_this)->p);
		((P6 *)_this)->p = (((int)((P6 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval(":init::p", ((int)((P6 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 17, 16) */
		reached[6][17] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 14: // STATE 20 - migration.pml:509 - [-end-] (0:0:0 - 1)
		IfNotBlocked
		reached[6][20] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC Saboteur */
	case 15: // STATE 1 - migration.pml:484 - [link_up = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[5][1] = 1;
		(trpt+1)->bup.oval = ((int)now.link_up);
		now.link_up = 0;
#ifdef VAR_RANGES
		logval("link_up", ((int)now.link_up));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 16: // STATE 2 - migration.pml:486 - [(nempty(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[5][2] = 1;
		if (!((q_len(now.link)>0)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 17: // STATE 3 - migration.pml:486 - [link?kind,p,generation] (0:0:6 - 1)
		reached[5][3] = 1;
		if (q_len(now.link) == 0) continue;

		XX=1;
		(trpt+1)->bup.ovals = grab_ints(6);
		(trpt+1)->bup.ovals[0] = ((P5 *)_this)->kind;
		(trpt+1)->bup.ovals[1] = ((int)((P5 *)_this)->p);
		(trpt+1)->bup.ovals[2] = ((int)((P5 *)_this)->generation);
		;
		((P5 *)_this)->kind = qrecv(now.link, XX-1, 0, 0);
#ifdef VAR_RANGES
		logval("Saboteur:kind", ((P5 *)_this)->kind);
#endif
		;
		((P5 *)_this)->p = qrecv(now.link, XX-1, 1, 0);
#ifdef VAR_RANGES
		logval("Saboteur:p", ((int)((P5 *)_this)->p));
#endif
		;
		((P5 *)_this)->generation = qrecv(now.link, XX-1, 2, 1);
#ifdef VAR_RANGES
		logval("Saboteur:generation", ((int)((P5 *)_this)->generation));
#endif
		;
		
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[32];
			sprintf(simvals, "%d?", now.link);
		sprintf(simtmp, "%d", ((P5 *)_this)->kind); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P5 *)_this)->p)); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P5 *)_this)->generation)); strcat(simvals, simtmp);		}
#endif
		;
		if (TstOnly) return 1; /* TT */
		/* dead 2: kind */  (trpt+1)->bup.ovals[3] = ((P5 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P5 *)_this)->kind = 0;
		if (TstOnly) return 1; /* TT */
		/* dead 2: p */  (trpt+1)->bup.ovals[4] = ((P5 *)_this)->p;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P5 *)_this)->p = 0;
		if (TstOnly) return 1; /* TT */
		/* dead 2: generation */  (trpt+1)->bup.ovals[5] = ((P5 *)_this)->generation;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P5 *)_this)->generation = 0;
		_m = 4; goto P999; /* 0 */
	case 18: // STATE 12 - migration.pml:492 - [-end-] (0:0:0 - 3)
		IfNotBlocked
		reached[5][12] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC Destination */
	case 19: // STATE 1 - migration.pml:452 - [link?kind,p,generation] (0:0:3 - 1)
		reached[4][1] = 1;
		if (q_len(now.link) == 0) continue;

		XX=1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((P4 *)_this)->kind;
		(trpt+1)->bup.ovals[1] = ((int)((P4 *)_this)->p);
		(trpt+1)->bup.ovals[2] = ((int)((P4 *)_this)->generation);
		;
		((P4 *)_this)->kind = qrecv(now.link, XX-1, 0, 0);
#ifdef VAR_RANGES
		logval("Destination:kind", ((P4 *)_this)->kind);
#endif
		;
		((P4 *)_this)->p = qrecv(now.link, XX-1, 1, 0);
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		((P4 *)_this)->generation = qrecv(now.link, XX-1, 2, 1);
#ifdef VAR_RANGES
		logval("Destination:generation", ((int)((P4 *)_this)->generation));
#endif
		;
		
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[32];
			sprintf(simvals, "%d?", now.link);
		sprintf(simtmp, "%d", ((P4 *)_this)->kind); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P4 *)_this)->p)); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P4 *)_this)->generation)); strcat(simvals, simtmp);		}
#endif
		;
		_m = 4; goto P999; /* 0 */
	case 20: // STATE 2 - migration.pml:454 - [((kind==PAGE))] (34:0:4 - 1)
		IfNotBlocked
		reached[4][2] = 1;
		if (!((((P4 *)_this)->kind==9)))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.ovals = grab_ints(4);
		(trpt+1)->bup.ovals[0] = ((P4 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P4 *)_this)->kind = 0;
		/* merge: there[p] = generation(34, 3, 34) */
		reached[4][3] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.there[ Index(((int)((P4 *)_this)->p), 3) ]);
		now.there[ Index(((P4 *)_this)->p, 3) ] = ((int)((P4 *)_this)->generation);
#ifdef VAR_RANGES
		logval("there[Destination:p]", ((int)now.there[ Index(((int)((P4 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(34, 28, 34) */
		reached[4][28] = 1;
		;
		/* merge: p = 0(34, 29, 34) */
		reached[4][29] = 1;
		(trpt+1)->bup.ovals[2] = ((int)((P4 *)_this)->p);
		((P4 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		/* merge: generation = 0(34, 30, 34) */
		reached[4][30] = 1;
		(trpt+1)->bup.ovals[3] = ((int)((P4 *)_this)->generation);
		((P4 *)_this)->generation = 0;
#ifdef VAR_RANGES
		logval("Destination:generation", ((int)((P4 *)_this)->generation));
#endif
		;
		/* merge: .(goto)(0, 35, 34) */
		reached[4][35] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 21: // STATE 4 - migration.pml:455 - [((kind==FREE_PAGE))] (34:0:3 - 1)
		IfNotBlocked
		reached[4][4] = 1;
		if (!((((P4 *)_this)->kind==8)))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((P4 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P4 *)_this)->kind = 0;
		/* merge: .(goto)(34, 28, 34) */
		reached[4][28] = 1;
		;
		/* merge: p = 0(34, 29, 34) */
		reached[4][29] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P4 *)_this)->p);
		((P4 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		/* merge: generation = 0(34, 30, 34) */
		reached[4][30] = 1;
		(trpt+1)->bup.ovals[2] = ((int)((P4 *)_this)->generation);
		((P4 *)_this)->generation = 0;
#ifdef VAR_RANGES
		logval("Destination:generation", ((int)((P4 *)_this)->generation));
#endif
		;
		/* merge: .(goto)(0, 35, 34) */
		reached[4][35] = 1;
		;
		_m = 3; goto P999; /* 4 */
	case 22: // STATE 5 - migration.pml:456 - [(((kind==SWITCHOVER)&&nfull(answers)))] (7:0:2 - 1)
		IfNotBlocked
		reached[4][5] = 1;
		if (!(((((P4 *)_this)->kind==7)&&(!q_full(now.answers)))))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((P4 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P4 *)_this)->kind = 0;
		/* merge: prepared = 1(0, 6, 7) */
		reached[4][6] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P4 *)_this)->prepared);
		((P4 *)_this)->prepared = 1;
#ifdef VAR_RANGES
		logval("Destination:prepared", ((int)((P4 *)_this)->prepared));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 23: // STATE 7 - migration.pml:463 - [answers!READY] (34:0:2 - 1)
		IfNotBlocked
		reached[4][7] = 1;
		if (q_full(now.answers))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.answers);
		sprintf(simtmp, "%d", 5); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.answers, 0, 5, 0, 0, 1);
		/* merge: .(goto)(34, 28, 34) */
		reached[4][28] = 1;
		;
		/* merge: p = 0(34, 29, 34) */
		reached[4][29] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)((P4 *)_this)->p);
		((P4 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		/* merge: generation = 0(34, 30, 34) */
		reached[4][30] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P4 *)_this)->generation);
		((P4 *)_this)->generation = 0;
#ifdef VAR_RANGES
		logval("Destination:generation", ((int)((P4 *)_this)->generation));
#endif
		;
		/* merge: .(goto)(0, 35, 34) */
		reached[4][35] = 1;
		;
		_m = 2; goto P999; /* 4 */
	case 24: // STATE 8 - migration.pml:464 - [(((kind==COMMIT)&&prepared))] (0:0:2 - 1)
		IfNotBlocked
		reached[4][8] = 1;
		if (!(((((P4 *)_this)->kind==6)&&((int)((P4 *)_this)->prepared))))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((P4 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P4 *)_this)->kind = 0;
		if (TstOnly) return 1; /* TT */
		/* dead 1: prepared */  (trpt+1)->bup.ovals[1] = ((P4 *)_this)->prepared;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P4 *)_this)->prepared = 0;
		_m = 3; goto P999; /* 0 */
	case 25: // STATE 9 - migration.pml:434 - [destination_runs = 1] (0:17:2 - 1)
		IfNotBlocked
		reached[4][9] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.destination_runs);
		now.destination_runs = 1;
#ifdef VAR_RANGES
		logval("destination_runs", ((int)now.destination_runs));
#endif
		;
		/* merge: assert(!(source_runs))(17, 10, 17) */
		reached[4][10] = 1;
		spin_assert( !(((int)now.source_runs)), " !(source_runs)", II, tt, t);
		/* merge: p = 0(17, 11, 17) */
		reached[4][11] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P4 *)_this)->p);
		((P4 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 18, 17) */
		reached[4][18] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 26: // STATE 12 - migration.pml:438 - [((p<3))] (17:0:1 - 1)
		IfNotBlocked
		reached[4][12] = 1;
		if (!((((int)((P4 *)_this)->p)<3)))
			continue;
		/* merge: assert((!((used[p]&&written[p]))||(fresh[p]&&(there[p]==sent[p]))))(17, 13, 17) */
		reached[4][13] = 1;
		spin_assert(( !((((int)now.used[ Index(((int)((P4 *)_this)->p), 3) ])&&((int)now.written[ Index(((int)((P4 *)_this)->p), 3) ])))||(((int)now.fresh[ Index(((int)((P4 *)_this)->p), 3) ])&&(((int)now.there[ Index(((int)((P4 *)_this)->p), 3) ])==((int)now.sent[ Index(((int)((P4 *)_this)->p), 3) ])))), "( !((used[p]&&written[p]))||(fresh[p]&&(there[p]==sent[p])))", II, tt, t);
		/* merge: p = (p+1)(17, 14, 17) */
		reached[4][14] = 1;
		(trpt+1)->bup.oval = ((int)((P4 *)_this)->p);
		((P4 *)_this)->p = (((int)((P4 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 18, 17) */
		reached[4][18] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 27: // STATE 21 - migration.pml:464 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[4][21] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 28: // STATE 22 - migration.pml:464 - [answers!RUNNING] (36:0:0 - 1)
		IfNotBlocked
		reached[4][22] = 1;
		if (q_full(now.answers))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.answers);
		sprintf(simtmp, "%d", 4); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.answers, 0, 4, 0, 0, 1);
		/* merge: .(goto)(36, 25, 36) */
		reached[4][25] = 1;
		;
		/* merge: goto :b16(36, 26, 36) */
		reached[4][26] = 1;
		;
		_m = 2; goto P999; /* 2 */
	case 29: // STATE 26 - migration.pml:464 - [goto :b16] (0:36:0 - 3)
		IfNotBlocked
		reached[4][26] = 1;
		;
		_m = 3; goto P999; /* 0 */
	case 30: // STATE 29 - migration.pml:466 - [p = 0] (0:34:2 - 4)
		IfNotBlocked
		reached[4][29] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)((P4 *)_this)->p);
		((P4 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Destination:p", ((int)((P4 *)_this)->p));
#endif
		;
		/* merge: generation = 0(34, 30, 34) */
		reached[4][30] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P4 *)_this)->generation);
		((P4 *)_this)->generation = 0;
#ifdef VAR_RANGES
		logval("Destination:generation", ((int)((P4 *)_this)->generation));
#endif
		;
		/* merge: .(goto)(0, 35, 34) */
		reached[4][35] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 31: // STATE 32 - migration.pml:471 - [((!(link_up)&&empty(link)))] (0:0:0 - 1)
		IfNotBlocked
		reached[4][32] = 1;
		if (!(( !(((int)now.link_up))&&(q_len(now.link)==0))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 32: // STATE 37 - migration.pml:473 - [destination_over = 1] (0:0:1 - 3)
		IfNotBlocked
		reached[4][37] = 1;
		(trpt+1)->bup.oval = ((int)destination_over);
		destination_over = 1;
#ifdef VAR_RANGES
		logval("destination_over", ((int)destination_over));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 33: // STATE 38 - migration.pml:474 - [-end-] (0:0:0 - 1)
		IfNotBlocked
		reached[4][38] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC Source */
	case 34: // STATE 1 - migration.pml:210 - [armed = 1] (0:8:2 - 1)
		IfNotBlocked
		reached[3][1] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.armed);
		now.armed = 1;
#ifdef VAR_RANGES
		logval("armed", ((int)now.armed));
#endif
		;
		/* merge: q = 0(8, 2, 8) */
		reached[3][2] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 9, 8) */
		reached[3][9] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 35: // STATE 3 - migration.pml:213 - [((q<3))] (8:0:2 - 1)
		IfNotBlocked
		reached[3][3] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		/* merge: logged[q] = 0(8, 4, 8) */
		reached[3][4] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.logged[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("logged[Source:q]", ((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: q = (q+1)(8, 5, 8) */
		reached[3][5] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 9, 8) */
		reached[3][9] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 36: // STATE 13 - migration.pml:366 - [q = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][13] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 37: // STATE 14 - migration.pml:368 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][14] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 38: // STATE 15 - migration.pml:368 - [pending[q] = 1] (0:0:1 - 1)
		IfNotBlocked
		reached[3][15] = 1;
		(trpt+1)->bup.oval = ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.pending[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("pending[Source:q]", ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 39: // STATE 16 - migration.pml:368 - [q = (q+1)] (0:0:1 - 1)
		IfNotBlocked
		reached[3][16] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 40: // STATE 22 - migration.pml:373 - [(((round<2)&&link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][22] = 1;
		if (!(((((int)((P3 *)_this)->round)<2)&&((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 41: // STATE 23 - migration.pml:374 - [round = (round+1)] (0:0:1 - 1)
		IfNotBlocked
		reached[3][23] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->round);
		((P3 *)_this)->round = (((int)((P3 *)_this)->round)+1);
#ifdef VAR_RANGES
		logval("Source:round", ((int)((P3 *)_this)->round));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 42: // STATE 24 - migration.pml:220 - [id = (id+1)] (0:83:5 - 1)
		IfNotBlocked
		reached[3][24] = 1;
		(trpt+1)->bup.ovals = grab_ints(5);
		(trpt+1)->bup.ovals[0] = ((int)((P3 *)_this)->id);
		((P3 *)_this)->id = (((int)((P3 *)_this)->id)+1);
#ifdef VAR_RANGES
		logval("Source:id", ((int)((P3 *)_this)->id));
#endif
		;
		/* merge: open = id(83, 25, 83) */
		reached[3][25] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.open);
		now.open = ((int)((P3 *)_this)->id);
#ifdef VAR_RANGES
		logval("open", ((int)now.open));
#endif
		;
		/* merge: device_id = id(83, 26, 83) */
		reached[3][26] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.device_id);
		now.device_id = ((int)((P3 *)_this)->id);
#ifdef VAR_RANGES
		logval("device_id", ((int)now.device_id));
#endif
		;
		/* merge: device = REQUESTED(83, 27, 83) */
		reached[3][27] = 1;
		(trpt+1)->bup.ovals[3] = now.device;
		now.device = 11;
#ifdef VAR_RANGES
		logval("device", now.device);
#endif
		;
		/* merge: word = id(83, 28, 83) */
		reached[3][28] = 1;
		(trpt+1)->bup.ovals[4] = ((int)now.word);
		now.word = ((int)((P3 *)_this)->id);
#ifdef VAR_RANGES
		logval("word", ((int)now.word));
#endif
		;
		_m = 3; goto P999; /* 4 */
	case 43: // STATE 31 - migration.pml:298 - [q = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][31] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 44: // STATE 32 - migration.pml:300 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][32] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 45: // STATE 33 - migration.pml:302 - [(pending[q])] (0:0:0 - 1)
		IfNotBlocked
		reached[3][33] = 1;
		if (!(((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ])))
			continue;
		_m = 3; goto P999; /* 0 */
	case 46: // STATE 34 - migration.pml:307 - [pending[q] = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][34] = 1;
		(trpt+1)->bup.oval = ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.pending[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("pending[Source:q]", ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 47: // STATE 35 - migration.pml:274 - [fresh[q] = 1] (0:48:2 - 1)
		IfNotBlocked
		reached[3][35] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("fresh[Source:q]", ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: sent[q] = (1-sent[q])(48, 36, 48) */
		reached[3][36] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.sent[ Index(((P3 *)_this)->q, 3) ] = (1-((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]));
#ifdef VAR_RANGES
		logval("sent[Source:q]", ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 48: // STATE 39 - migration.pml:281 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[3][39] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 49: // STATE 40 - migration.pml:289 - [(nfull(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][40] = 1;
		if (!((!q_full(now.link))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 50: // STATE 41 - migration.pml:289 - [link!9,q,sent[q]] (0:0:0 - 1)
		IfNotBlocked
		reached[3][41] = 1;
		if (q_full(now.link))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.link);
		sprintf(simtmp, "%d", 9); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P3 *)_this)->q)); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ])); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.link, 0, 9, ((int)((P3 *)_this)->q), ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]), 3);
		_m = 2; goto P999; /* 0 */
	case 51: // STATE 42 - migration.pml:290 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][42] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 52: // STATE 45 - migration.pml:293 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][45] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 53: // STATE 52 - migration.pml:313 - [q = (q+1)] (0:55:1 - 7)
		IfNotBlocked
		reached[3][52] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 56, 55) */
		reached[3][56] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 54: // STATE 58 - migration.pml:316 - [q = 0] (0:80:1 - 3)
		IfNotBlocked
		reached[3][58] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 81, 80) */
		reached[3][81] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 55: // STATE 59 - migration.pml:318 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][59] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 56: // STATE 60 - migration.pml:320 - [((is_free[q]&&!(announced[q])))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][60] = 1;
		if (!((((int)now.is_free[ Index(((int)((P3 *)_this)->q), 3) ])&& !(((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ])))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 57: // STATE 61 - migration.pml:321 - [announced[q] = 1] (0:73:2 - 1)
		IfNotBlocked
		reached[3][61] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.announced[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("announced[Source:q]", ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: fresh[q] = 0(73, 62, 73) */
		reached[3][62] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("fresh[Source:q]", ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 58: // STATE 64 - migration.pml:281 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[3][64] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 59: // STATE 65 - migration.pml:289 - [(nfull(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][65] = 1;
		if (!((!q_full(now.link))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 60: // STATE 66 - migration.pml:289 - [link!8,q,0] (0:0:0 - 1)
		IfNotBlocked
		reached[3][66] = 1;
		if (q_full(now.link))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.link);
		sprintf(simtmp, "%d", 8); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P3 *)_this)->q)); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.link, 0, 8, ((int)((P3 *)_this)->q), 0, 3);
		_m = 2; goto P999; /* 0 */
	case 61: // STATE 67 - migration.pml:290 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][67] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 62: // STATE 70 - migration.pml:293 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][70] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 63: // STATE 77 - migration.pml:325 - [q = (q+1)] (0:80:1 - 7)
		IfNotBlocked
		reached[3][77] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 81, 80) */
		reached[3][81] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 64: // STATE 84 - migration.pml:334 - [(empty(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][84] = 1;
		if (!((q_len(now.link)==0)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 65: // STATE 85 - migration.pml:335 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][85] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 66: // STATE 89 - migration.pml:225 - [open = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][89] = 1;
		(trpt+1)->bup.oval = ((int)now.open);
		now.open = 0;
#ifdef VAR_RANGES
		logval("open", ((int)now.open));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 67: // STATE 90 - migration.pml:227 - [(((device!=IDLE)||(word>=2)))] (130:0:2 - 1)
		IfNotBlocked
		reached[3][90] = 1;
		if (!(((now.device!=12)||(((int)now.word)>=2))))
			continue;
		/* merge: device = IDLE(130, 91, 130) */
		reached[3][91] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = now.device;
		now.device = 12;
#ifdef VAR_RANGES
		logval("device", now.device);
#endif
		;
		/* merge: word = 0(130, 92, 130) */
		reached[3][92] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.word);
		now.word = 0;
#ifdef VAR_RANGES
		logval("word", ((int)now.word));
#endif
		;
		/* merge: .(goto)(130, 95, 130) */
		reached[3][95] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 68: // STATE 95 - migration.pml:230 - [.(goto)] (0:130:0 - 2)
		IfNotBlocked
		reached[3][95] = 1;
		;
		_m = 3; goto P999; /* 0 */
	case 69: // STATE 98 - migration.pml:235 - [q = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][98] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 70: // STATE 99 - migration.pml:237 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][99] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 71: // STATE 100 - migration.pml:240 - [(logged[q])] (110:0:3 - 1)
		IfNotBlocked
		reached[3][100] = 1;
		if (!(((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ])))
			continue;
		/* merge: logged[q] = 0(110, 101, 110) */
		reached[3][101] = 1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.logged[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("logged[Source:q]", ((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: scratch[q] = 1(110, 102, 110) */
		reached[3][102] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("scratch[Source:q]", ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: .(goto)(110, 105, 110) */
		reached[3][105] = 1;
		;
		/* merge: q = (q+1)(110, 106, 110) */
		reached[3][106] = 1;
		(trpt+1)->bup.ovals[2] = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 111, 110) */
		reached[3][111] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 72: // STATE 105 - migration.pml:243 - [.(goto)] (0:110:1 - 2)
		IfNotBlocked
		reached[3][105] = 1;
		;
		/* merge: q = (q+1)(110, 106, 110) */
		reached[3][106] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 111, 110) */
		reached[3][111] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 73: // STATE 113 - migration.pml:247 - [q = 0] (0:127:1 - 3)
		IfNotBlocked
		reached[3][113] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 128, 127) */
		reached[3][128] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 74: // STATE 114 - migration.pml:249 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][114] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 75: // STATE 115 - migration.pml:252 - [(scratch[q])] (127:0:5 - 1)
		IfNotBlocked
		reached[3][115] = 1;
		if (!(((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ])))
			continue;
		/* merge: scratch[q] = 0(127, 116, 127) */
		reached[3][116] = 1;
		(trpt+1)->bup.ovals = grab_ints(5);
		(trpt+1)->bup.ovals[0] = ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("scratch[Source:q]", ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: pending[q] = 1(127, 117, 127) */
		reached[3][117] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.pending[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("pending[Source:q]", ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: is_free[q] = 0(127, 118, 127) */
		reached[3][118] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.is_free[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.is_free[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("is_free[Source:q]", ((int)now.is_free[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: announced[q] = 0(127, 119, 127) */
		reached[3][119] = 1;
		(trpt+1)->bup.ovals[3] = ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.announced[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("announced[Source:q]", ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: .(goto)(127, 122, 127) */
		reached[3][122] = 1;
		;
		/* merge: q = (q+1)(127, 123, 127) */
		reached[3][123] = 1;
		(trpt+1)->bup.ovals[4] = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 128, 127) */
		reached[3][128] = 1;
		;
		_m = 3; goto P999; /* 7 */
	case 76: // STATE 122 - migration.pml:263 - [.(goto)] (0:127:1 - 2)
		IfNotBlocked
		reached[3][122] = 1;
		;
		/* merge: q = (q+1)(127, 123, 127) */
		reached[3][123] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 128, 127) */
		reached[3][128] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 77: // STATE 131 - migration.pml:391 - [(((round>0)&&link_up))] (0:0:1 - 1)
		IfNotBlocked
		reached[3][131] = 1;
		if (!(((((int)((P3 *)_this)->round)>0)&&((int)now.link_up))))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: round */  (trpt+1)->bup.oval = ((P3 *)_this)->round;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P3 *)_this)->round = 0;
		_m = 3; goto P999; /* 0 */
	case 78: // STATE 133 - migration.pml:392 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][133] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 79: // STATE 139 - migration.pml:341 - [source_runs = 0] (0:142:2 - 1)
		IfNotBlocked
		reached[3][139] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.source_runs);
		now.source_runs = 0;
#ifdef VAR_RANGES
		logval("source_runs", ((int)now.source_runs));
#endif
		;
		/* merge: parked = 1(142, 140, 142) */
		reached[3][140] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.parked);
		now.parked = 1;
#ifdef VAR_RANGES
		logval("parked", ((int)now.parked));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 80: // STATE 142 - migration.pml:342 - [(!(device_busy))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][142] = 1;
		if (!( !(((int)now.device_busy))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 81: // STATE 144 - migration.pml:225 - [open = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][144] = 1;
		(trpt+1)->bup.oval = ((int)now.open);
		now.open = 0;
#ifdef VAR_RANGES
		logval("open", ((int)now.open));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 82: // STATE 145 - migration.pml:227 - [(((device!=IDLE)||(word>=2)))] (185:0:2 - 1)
		IfNotBlocked
		reached[3][145] = 1;
		if (!(((now.device!=12)||(((int)now.word)>=2))))
			continue;
		/* merge: device = IDLE(185, 146, 185) */
		reached[3][146] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = now.device;
		now.device = 12;
#ifdef VAR_RANGES
		logval("device", now.device);
#endif
		;
		/* merge: word = 0(185, 147, 185) */
		reached[3][147] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.word);
		now.word = 0;
#ifdef VAR_RANGES
		logval("word", ((int)now.word));
#endif
		;
		/* merge: .(goto)(185, 150, 185) */
		reached[3][150] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 83: // STATE 150 - migration.pml:230 - [.(goto)] (0:185:0 - 2)
		IfNotBlocked
		reached[3][150] = 1;
		;
		_m = 3; goto P999; /* 0 */
	case 84: // STATE 153 - migration.pml:235 - [q = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][153] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 85: // STATE 154 - migration.pml:237 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][154] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 86: // STATE 155 - migration.pml:240 - [(logged[q])] (165:0:3 - 1)
		IfNotBlocked
		reached[3][155] = 1;
		if (!(((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ])))
			continue;
		/* merge: logged[q] = 0(165, 156, 165) */
		reached[3][156] = 1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.logged[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("logged[Source:q]", ((int)now.logged[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: scratch[q] = 1(165, 157, 165) */
		reached[3][157] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("scratch[Source:q]", ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: .(goto)(165, 160, 165) */
		reached[3][160] = 1;
		;
		/* merge: q = (q+1)(165, 161, 165) */
		reached[3][161] = 1;
		(trpt+1)->bup.ovals[2] = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 166, 165) */
		reached[3][166] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 87: // STATE 160 - migration.pml:243 - [.(goto)] (0:165:1 - 2)
		IfNotBlocked
		reached[3][160] = 1;
		;
		/* merge: q = (q+1)(165, 161, 165) */
		reached[3][161] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 166, 165) */
		reached[3][166] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 88: // STATE 168 - migration.pml:247 - [q = 0] (0:182:1 - 3)
		IfNotBlocked
		reached[3][168] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 183, 182) */
		reached[3][183] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 89: // STATE 169 - migration.pml:249 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][169] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 90: // STATE 170 - migration.pml:252 - [(scratch[q])] (182:0:5 - 1)
		IfNotBlocked
		reached[3][170] = 1;
		if (!(((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ])))
			continue;
		/* merge: scratch[q] = 0(182, 171, 182) */
		reached[3][171] = 1;
		(trpt+1)->bup.ovals = grab_ints(5);
		(trpt+1)->bup.ovals[0] = ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.scratch[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("scratch[Source:q]", ((int)now.scratch[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: pending[q] = 1(182, 172, 182) */
		reached[3][172] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.pending[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("pending[Source:q]", ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: is_free[q] = 0(182, 173, 182) */
		reached[3][173] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.is_free[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.is_free[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("is_free[Source:q]", ((int)now.is_free[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: announced[q] = 0(182, 174, 182) */
		reached[3][174] = 1;
		(trpt+1)->bup.ovals[3] = ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.announced[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("announced[Source:q]", ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: .(goto)(182, 177, 182) */
		reached[3][177] = 1;
		;
		/* merge: q = (q+1)(182, 178, 182) */
		reached[3][178] = 1;
		(trpt+1)->bup.ovals[4] = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 183, 182) */
		reached[3][183] = 1;
		;
		_m = 3; goto P999; /* 7 */
	case 91: // STATE 177 - migration.pml:263 - [.(goto)] (0:182:1 - 2)
		IfNotBlocked
		reached[3][177] = 1;
		;
		/* merge: q = (q+1)(182, 178, 182) */
		reached[3][178] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 183, 182) */
		reached[3][183] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 92: // STATE 186 - migration.pml:402 - [word = 1] (0:0:1 - 3)
		IfNotBlocked
		reached[3][186] = 1;
		(trpt+1)->bup.oval = ((int)now.word);
		now.word = 1;
#ifdef VAR_RANGES
		logval("word", ((int)now.word));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 93: // STATE 187 - migration.pml:298 - [q = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][187] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 94: // STATE 188 - migration.pml:300 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][188] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 95: // STATE 189 - migration.pml:302 - [(pending[q])] (0:0:0 - 1)
		IfNotBlocked
		reached[3][189] = 1;
		if (!(((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ])))
			continue;
		_m = 3; goto P999; /* 0 */
	case 96: // STATE 190 - migration.pml:307 - [pending[q] = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][190] = 1;
		(trpt+1)->bup.oval = ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.pending[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("pending[Source:q]", ((int)now.pending[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 97: // STATE 191 - migration.pml:274 - [fresh[q] = 1] (0:204:2 - 1)
		IfNotBlocked
		reached[3][191] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("fresh[Source:q]", ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: sent[q] = (1-sent[q])(204, 192, 204) */
		reached[3][192] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.sent[ Index(((P3 *)_this)->q, 3) ] = (1-((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]));
#ifdef VAR_RANGES
		logval("sent[Source:q]", ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 98: // STATE 195 - migration.pml:281 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[3][195] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 99: // STATE 196 - migration.pml:289 - [(nfull(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][196] = 1;
		if (!((!q_full(now.link))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 100: // STATE 197 - migration.pml:289 - [link!9,q,sent[q]] (0:0:0 - 1)
		IfNotBlocked
		reached[3][197] = 1;
		if (q_full(now.link))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.link);
		sprintf(simtmp, "%d", 9); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P3 *)_this)->q)); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ])); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.link, 0, 9, ((int)((P3 *)_this)->q), ((int)now.sent[ Index(((int)((P3 *)_this)->q), 3) ]), 3);
		_m = 2; goto P999; /* 0 */
	case 101: // STATE 198 - migration.pml:290 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][198] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 102: // STATE 201 - migration.pml:293 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][201] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 103: // STATE 208 - migration.pml:313 - [q = (q+1)] (0:211:1 - 7)
		IfNotBlocked
		reached[3][208] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 212, 211) */
		reached[3][212] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 104: // STATE 214 - migration.pml:316 - [q = 0] (0:236:1 - 3)
		IfNotBlocked
		reached[3][214] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = 0;
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 237, 236) */
		reached[3][237] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 105: // STATE 215 - migration.pml:318 - [((q<3))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][215] = 1;
		if (!((((int)((P3 *)_this)->q)<3)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 106: // STATE 216 - migration.pml:320 - [((is_free[q]&&!(announced[q])))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][216] = 1;
		if (!((((int)now.is_free[ Index(((int)((P3 *)_this)->q), 3) ])&& !(((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ])))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 107: // STATE 217 - migration.pml:321 - [announced[q] = 1] (0:229:2 - 1)
		IfNotBlocked
		reached[3][217] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.announced[ Index(((P3 *)_this)->q, 3) ] = 1;
#ifdef VAR_RANGES
		logval("announced[Source:q]", ((int)now.announced[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		/* merge: fresh[q] = 0(229, 218, 229) */
		reached[3][218] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]);
		now.fresh[ Index(((P3 *)_this)->q, 3) ] = 0;
#ifdef VAR_RANGES
		logval("fresh[Source:q]", ((int)now.fresh[ Index(((int)((P3 *)_this)->q), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 108: // STATE 220 - migration.pml:281 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[3][220] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 109: // STATE 221 - migration.pml:289 - [(nfull(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][221] = 1;
		if (!((!q_full(now.link))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 110: // STATE 222 - migration.pml:289 - [link!8,q,0] (0:0:0 - 1)
		IfNotBlocked
		reached[3][222] = 1;
		if (q_full(now.link))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.link);
		sprintf(simtmp, "%d", 8); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P3 *)_this)->q)); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.link, 0, 8, ((int)((P3 *)_this)->q), 0, 3);
		_m = 2; goto P999; /* 0 */
	case 111: // STATE 223 - migration.pml:290 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][223] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 112: // STATE 226 - migration.pml:293 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][226] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 113: // STATE 233 - migration.pml:325 - [q = (q+1)] (0:236:1 - 7)
		IfNotBlocked
		reached[3][233] = 1;
		(trpt+1)->bup.oval = ((int)((P3 *)_this)->q);
		((P3 *)_this)->q = (((int)((P3 *)_this)->q)+1);
#ifdef VAR_RANGES
		logval("Source:q", ((int)((P3 *)_this)->q));
#endif
		;
		/* merge: .(goto)(0, 237, 236) */
		reached[3][237] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 114: // STATE 240 - migration.pml:281 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[3][240] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 115: // STATE 241 - migration.pml:289 - [(nfull(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][241] = 1;
		if (!((!q_full(now.link))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 116: // STATE 242 - migration.pml:289 - [link!7,0,0] (0:0:0 - 1)
		IfNotBlocked
		reached[3][242] = 1;
		if (q_full(now.link))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.link);
		sprintf(simtmp, "%d", 7); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.link, 0, 7, 0, 0, 3);
		_m = 2; goto P999; /* 0 */
	case 117: // STATE 243 - migration.pml:290 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][243] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 118: // STATE 246 - migration.pml:293 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][246] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 119: // STATE 250 - migration.pml:406 - [answers?READY] (0:0:0 - 1)
		reached[3][250] = 1;
		if (q_len(now.answers) == 0) continue;

		XX=1;
		if (5 != qrecv(now.answers, 0, 0, 0)) continue;
		
#ifndef BFS_PAR
		if (q_flds[((Q0 *)qptr(now.answers-1))->_t] != 1)
			Uerror("wrong nr of msg fields in rcv");
#endif
		;
		qrecv(now.answers, XX-1, 0, 1);
		
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[32];
			sprintf(simvals, "%d?", now.answers);
		sprintf(simtmp, "%d", 5); strcat(simvals, simtmp);		}
#endif
		;
		_m = 4; goto P999; /* 0 */
	case 120: // STATE 251 - migration.pml:407 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][251] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 121: // STATE 256 - migration.pml:281 - [(link_up)] (0:0:0 - 1)
		IfNotBlocked
		reached[3][256] = 1;
		if (!(((int)now.link_up)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 122: // STATE 257 - migration.pml:289 - [(nfull(link))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][257] = 1;
		if (!((!q_full(now.link))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 123: // STATE 258 - migration.pml:289 - [link!6,0,0] (0:0:0 - 1)
		IfNotBlocked
		reached[3][258] = 1;
		if (q_full(now.link))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.link);
		sprintf(simtmp, "%d", 6); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.link, 0, 6, 0, 0, 3);
		_m = 2; goto P999; /* 0 */
	case 124: // STATE 259 - migration.pml:290 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][259] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 125: // STATE 262 - migration.pml:293 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][262] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 126: // STATE 266 - migration.pml:413 - [answers?RUNNING] (0:0:0 - 1)
		reached[3][266] = 1;
		if (q_len(now.answers) == 0) continue;

		XX=1;
		if (4 != qrecv(now.answers, 0, 0, 0)) continue;
		
#ifndef BFS_PAR
		if (q_flds[((Q0 *)qptr(now.answers-1))->_t] != 1)
			Uerror("wrong nr of msg fields in rcv");
#endif
		;
		qrecv(now.answers, XX-1, 0, 1);
		
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[32];
			sprintf(simvals, "%d?", now.answers);
		sprintf(simtmp, "%d", 4); strcat(simvals, simtmp);		}
#endif
		;
		_m = 4; goto P999; /* 0 */
	case 127: // STATE 267 - migration.pml:414 - [(!(link_up))] (0:0:0 - 1)
		IfNotBlocked
		reached[3][267] = 1;
		if (!( !(((int)now.link_up))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 128: // STATE 268 - migration.pml:414 - [outcome_unknown = 1] (0:0:1 - 1)
		IfNotBlocked
		reached[3][268] = 1;
		(trpt+1)->bup.oval = ((int)now.outcome_unknown);
		now.outcome_unknown = 1;
#ifdef VAR_RANGES
		logval("outcome_unknown", ((int)now.outcome_unknown));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 129: // STATE 271 - migration.pml:422 - [armed = 0] (0:0:1 - 3)
		IfNotBlocked
		reached[3][271] = 1;
		(trpt+1)->bup.oval = ((int)now.armed);
		now.armed = 0;
#ifdef VAR_RANGES
		logval("armed", ((int)now.armed));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 130: // STATE 273 - migration.pml:225 - [open = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][273] = 1;
		(trpt+1)->bup.oval = ((int)now.open);
		now.open = 0;
#ifdef VAR_RANGES
		logval("open", ((int)now.open));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 131: // STATE 274 - migration.pml:227 - [(((device!=IDLE)||(word>=2)))] (282:0:2 - 1)
		IfNotBlocked
		reached[3][274] = 1;
		if (!(((now.device!=12)||(((int)now.word)>=2))))
			continue;
		/* merge: device = IDLE(282, 275, 282) */
		reached[3][275] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = now.device;
		now.device = 12;
#ifdef VAR_RANGES
		logval("device", now.device);
#endif
		;
		/* merge: word = 0(282, 276, 282) */
		reached[3][276] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.word);
		now.word = 0;
#ifdef VAR_RANGES
		logval("word", ((int)now.word));
#endif
		;
		/* merge: .(goto)(282, 279, 282) */
		reached[3][279] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 132: // STATE 279 - migration.pml:230 - [.(goto)] (0:282:0 - 2)
		IfNotBlocked
		reached[3][279] = 1;
		;
		_m = 3; goto P999; /* 0 */
	case 133: // STATE 282 - migration.pml:348 - [word = 1] (0:0:1 - 1)
		IfNotBlocked
		reached[3][282] = 1;
		(trpt+1)->bup.oval = ((int)now.word);
		now.word = 1;
#ifdef VAR_RANGES
		logval("word", ((int)now.word));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 134: // STATE 283 - migration.pml:350 - [armed = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[3][283] = 1;
		(trpt+1)->bup.oval = ((int)now.armed);
		now.armed = 0;
#ifdef VAR_RANGES
		logval("armed", ((int)now.armed));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 135: // STATE 284 - migration.pml:351 - [parked = 0] (0:289:3 - 1)
		IfNotBlocked
		reached[3][284] = 1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((int)now.parked);
		now.parked = 0;
#ifdef VAR_RANGES
		logval("parked", ((int)now.parked));
#endif
		;
		/* merge: source_runs = 1(289, 285, 289) */
		reached[3][285] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.source_runs);
		now.source_runs = 1;
#ifdef VAR_RANGES
		logval("source_runs", ((int)now.source_runs));
#endif
		;
		/* merge: link_up = 0(289, 286, 289) */
		reached[3][286] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.link_up);
		now.link_up = 0;
#ifdef VAR_RANGES
		logval("link_up", ((int)now.link_up));
#endif
		;
		_m = 3; goto P999; /* 2 */
	case 136: // STATE 289 - migration.pml:428 - [host_over = 1] (0:0:1 - 3)
		IfNotBlocked
		reached[3][289] = 1;
		(trpt+1)->bup.oval = ((int)now.host_over);
		now.host_over = 1;
#ifdef VAR_RANGES
		logval("host_over", ((int)now.host_over));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 137: // STATE 290 - migration.pml:429 - [-end-] (0:0:0 - 1)
		IfNotBlocked
		reached[3][290] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC HintThread */
	case 138: // STATE 1 - migration.pml:164 - [(((source_runs&&!(parked))&&nempty(ring)))] (0:0:0 - 1)
		IfNotBlocked
		reached[2][1] = 1;
		if (!(((((int)now.source_runs)&& !(((int)now.parked)))&&(q_len(now.ring)>0))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 139: // STATE 2 - migration.pml:164 - [ring?kind,value] (11:0:4 - 1)
		reached[2][2] = 1;
		if (q_len(now.ring) == 0) continue;

		XX=1;
		(trpt+1)->bup.ovals = grab_ints(4);
		(trpt+1)->bup.ovals[0] = ((P2 *)_this)->kind;
		(trpt+1)->bup.ovals[1] = ((int)((P2 *)_this)->value);
		;
		((P2 *)_this)->kind = qrecv(now.ring, XX-1, 0, 0);
#ifdef VAR_RANGES
		logval("HintThread:kind", ((P2 *)_this)->kind);
#endif
		;
		((P2 *)_this)->value = qrecv(now.ring, XX-1, 1, 1);
#ifdef VAR_RANGES
		logval("HintThread:value", ((int)((P2 *)_this)->value));
#endif
		;
		
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[32];
			sprintf(simvals, "%d?", now.ring);
		sprintf(simtmp, "%d", ((P2 *)_this)->kind); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P2 *)_this)->value)); strcat(simvals, simtmp);		}
#endif
		;
		/* merge: device_busy = 1(11, 3, 11) */
		reached[2][3] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.device_busy);
		now.device_busy = 1;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: id = device_id(11, 4, 11) */
		reached[2][4] = 1;
		(trpt+1)->bup.ovals[3] = ((int)((P2 *)_this)->id);
		((P2 *)_this)->id = ((int)now.device_id);
#ifdef VAR_RANGES
		logval("HintThread:id", ((int)((P2 *)_this)->id));
#endif
		;
		_m = 4; goto P999; /* 2 */
	case 140: // STATE 5 - migration.pml:150 - [fresh[0] = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[2][5] = 1;
		(trpt+1)->bup.oval = ((int)now.fresh[0]);
		now.fresh[0] = 0;
#ifdef VAR_RANGES
		logval("fresh[0]", ((int)now.fresh[0]));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 141: // STATE 6 - migration.pml:153 - [(armed)] (38:0:1 - 1)
		IfNotBlocked
		reached[2][6] = 1;
		if (!(((int)now.armed)))
			continue;
		/* merge: logged[0] = 1(38, 7, 38) */
		reached[2][7] = 1;
		(trpt+1)->bup.oval = ((int)now.logged[0]);
		now.logged[0] = 1;
#ifdef VAR_RANGES
		logval("logged[0]", ((int)now.logged[0]));
#endif
		;
		/* merge: .(goto)(38, 10, 38) */
		reached[2][10] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 142: // STATE 10 - migration.pml:157 - [.(goto)] (0:38:0 - 2)
		IfNotBlocked
		reached[2][10] = 1;
		;
		_m = 3; goto P999; /* 0 */
	case 143: // STATE 13 - migration.pml:166 - [((kind==START_BUFFER))] (0:0:1 - 1)
		IfNotBlocked
		reached[2][13] = 1;
		if (!((((P2 *)_this)->kind==3)))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.oval = ((P2 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P2 *)_this)->kind = 0;
		_m = 3; goto P999; /* 0 */
	case 144: // STATE 14 - migration.pml:169 - [(((device==REQUESTED)&&(value==device_id)))] (40:0:3 - 1)
		IfNotBlocked
		reached[2][14] = 1;
		if (!(((now.device==11)&&(((int)((P2 *)_this)->value)==((int)now.device_id)))))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: value */  (trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((P2 *)_this)->value;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P2 *)_this)->value = 0;
		/* merge: device = STARTED(40, 15, 40) */
		reached[2][15] = 1;
		(trpt+1)->bup.ovals[1] = now.device;
		now.device = 10;
#ifdef VAR_RANGES
		logval("device", now.device);
#endif
		;
		/* merge: .(goto)(40, 18, 40) */
		reached[2][18] = 1;
		;
		/* merge: device_busy = 0(40, 19, 40) */
		reached[2][19] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.device_busy);
		now.device_busy = 0;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: .(goto)(0, 39, 40) */
		reached[2][39] = 1;
		;
		/* merge: .(goto)(0, 41, 40) */
		reached[2][41] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 145: // STATE 18 - migration.pml:172 - [.(goto)] (0:40:1 - 2)
		IfNotBlocked
		reached[2][18] = 1;
		;
		/* merge: device_busy = 0(40, 19, 40) */
		reached[2][19] = 1;
		(trpt+1)->bup.oval = ((int)now.device_busy);
		now.device_busy = 0;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: .(goto)(0, 39, 40) */
		reached[2][39] = 1;
		;
		/* merge: .(goto)(0, 41, 40) */
		reached[2][41] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 146: // STATE 21 - migration.pml:174 - [((kind==STOP_BUFFER))] (0:0:1 - 1)
		IfNotBlocked
		reached[2][21] = 1;
		if (!((((P2 *)_this)->kind==1)))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.oval = ((P2 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P2 *)_this)->kind = 0;
		_m = 3; goto P999; /* 0 */
	case 147: // STATE 22 - migration.pml:177 - [((device==STARTED))] (40:0:2 - 1)
		IfNotBlocked
		reached[2][22] = 1;
		if (!((now.device==10)))
			continue;
		/* merge: device = IDLE(40, 23, 40) */
		reached[2][23] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = now.device;
		now.device = 12;
#ifdef VAR_RANGES
		logval("device", now.device);
#endif
		;
		/* merge: .(goto)(40, 26, 40) */
		reached[2][26] = 1;
		;
		/* merge: device_busy = 0(40, 27, 40) */
		reached[2][27] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.device_busy);
		now.device_busy = 0;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: .(goto)(0, 39, 40) */
		reached[2][39] = 1;
		;
		/* merge: .(goto)(0, 41, 40) */
		reached[2][41] = 1;
		;
		_m = 3; goto P999; /* 5 */
	case 148: // STATE 26 - migration.pml:180 - [.(goto)] (0:40:1 - 2)
		IfNotBlocked
		reached[2][26] = 1;
		;
		/* merge: device_busy = 0(40, 27, 40) */
		reached[2][27] = 1;
		(trpt+1)->bup.oval = ((int)now.device_busy);
		now.device_busy = 0;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: .(goto)(0, 39, 40) */
		reached[2][39] = 1;
		;
		/* merge: .(goto)(0, 41, 40) */
		reached[2][41] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 149: // STATE 29 - migration.pml:182 - [((kind==BLOCK))] (0:0:1 - 1)
		IfNotBlocked
		reached[2][29] = 1;
		if (!((((P2 *)_this)->kind==2)))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: kind */  (trpt+1)->bup.oval = ((P2 *)_this)->kind;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P2 *)_this)->kind = 0;
		_m = 3; goto P999; /* 0 */
	case 150: // STATE 30 - migration.pml:191 - [((((open!=0)&&(open==id))&&(device==STARTED)))] (40:0:4 - 1)
		IfNotBlocked
		reached[2][30] = 1;
		if (!((((((int)now.open)!=0)&&(((int)now.open)==((int)((P2 *)_this)->id)))&&(now.device==10))))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: id */  (trpt+1)->bup.ovals = grab_ints(4);
		(trpt+1)->bup.ovals[0] = ((P2 *)_this)->id;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P2 *)_this)->id = 0;
		/* merge: pending[value] = 0(40, 31, 40) */
		reached[2][31] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.pending[ Index(((int)((P2 *)_this)->value), 3) ]);
		now.pending[ Index(((P2 *)_this)->value, 3) ] = 0;
#ifdef VAR_RANGES
		logval("pending[HintThread:value]", ((int)now.pending[ Index(((int)((P2 *)_this)->value), 3) ]));
#endif
		;
		/* merge: is_free[value] = 1(40, 32, 40) */
		reached[2][32] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.is_free[ Index(((int)((P2 *)_this)->value), 3) ]);
		now.is_free[ Index(((P2 *)_this)->value, 3) ] = 1;
#ifdef VAR_RANGES
		logval("is_free[HintThread:value]", ((int)now.is_free[ Index(((int)((P2 *)_this)->value), 3) ]));
#endif
		;
		/* merge: .(goto)(40, 35, 40) */
		reached[2][35] = 1;
		;
		/* merge: device_busy = 0(40, 36, 40) */
		reached[2][36] = 1;
		(trpt+1)->bup.ovals[3] = ((int)now.device_busy);
		now.device_busy = 0;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: .(goto)(0, 39, 40) */
		reached[2][39] = 1;
		;
		/* merge: .(goto)(0, 41, 40) */
		reached[2][41] = 1;
		;
		_m = 3; goto P999; /* 6 */
	case 151: // STATE 35 - migration.pml:200 - [.(goto)] (0:40:1 - 2)
		IfNotBlocked
		reached[2][35] = 1;
		;
		/* merge: device_busy = 0(40, 36, 40) */
		reached[2][36] = 1;
		(trpt+1)->bup.oval = ((int)now.device_busy);
		now.device_busy = 0;
#ifdef VAR_RANGES
		logval("device_busy", ((int)now.device_busy));
#endif
		;
		/* merge: .(goto)(0, 39, 40) */
		reached[2][39] = 1;
		;
		/* merge: .(goto)(0, 41, 40) */
		reached[2][41] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 152: // STATE 43 - migration.pml:204 - [-end-] (0:0:0 - 1)
		IfNotBlocked
		reached[2][43] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC Driver */
	case 153: // STATE 1 - migration.pml:120 - [((((source_runs||destination_runs)&&(word==1))&&((held[0]||held[1])||held[(3-1)])))] (8:0:1 - 1)
		IfNotBlocked
		reached[1][1] = 1;
		if (!((((((int)now.source_runs)||((int)now.destination_runs))&&(((int)now.word)==1))&&((((int)now.held[0])||((int)now.held[1]))||((int)now.held[ Index((3-1), 3) ])))))
			continue;
		/* merge: p = 0(0, 2, 8) */
		reached[1][2] = 1;
		(trpt+1)->bup.oval = ((int)((P1 *)_this)->p);
		((P1 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Driver:p", ((int)((P1 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 9, 8) */
		reached[1][9] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 154: // STATE 3 - migration.pml:123 - [((p<3))] (8:0:2 - 1)
		IfNotBlocked
		reached[1][3] = 1;
		if (!((((int)((P1 *)_this)->p)<3)))
			continue;
		/* merge: held[p] = 0(8, 4, 8) */
		reached[1][4] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.held[ Index(((int)((P1 *)_this)->p), 3) ]);
		now.held[ Index(((P1 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("held[Driver:p]", ((int)now.held[ Index(((int)((P1 *)_this)->p), 3) ]));
#endif
		;
		/* merge: p = (p+1)(8, 5, 8) */
		reached[1][5] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P1 *)_this)->p);
		((P1 *)_this)->p = (((int)((P1 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval("Driver:p", ((int)((P1 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 9, 8) */
		reached[1][9] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 155: // STATE 11 - migration.pml:126 - [p = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[1][11] = 1;
		(trpt+1)->bup.oval = ((int)((P1 *)_this)->p);
		((P1 *)_this)->p = 0;
#ifdef VAR_RANGES
		logval("Driver:p", ((int)((P1 *)_this)->p));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 156: // STATE 13 - migration.pml:128 - [(((source_runs&&(word>=2))&&(word!=active_id)))] (18:0:2 - 1)
		IfNotBlocked
		reached[1][13] = 1;
		if (!(((((int)now.source_runs)&&(((int)now.word)>=2))&&(((int)now.word)!=((int)((P1 *)_this)->active_id)))))
			continue;
		if (TstOnly) return 1; /* TT */
		/* dead 1: active_id */  (trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((P1 *)_this)->active_id;
#ifdef HAS_CODE
		if (!readtrail)
#endif
			((P1 *)_this)->active_id = 0;
		/* merge: active_id = word(0, 14, 18) */
		reached[1][14] = 1;
		(trpt+1)->bup.ovals[1] = ((int)((P1 *)_this)->active_id);
		((P1 *)_this)->active_id = ((int)now.word);
#ifdef VAR_RANGES
		logval("Driver:active_id", ((int)((P1 *)_this)->active_id));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 157: // STATE 16 - migration.pml:129 - [((source_runs&&nfull(ring)))] (0:0:0 - 1)
		IfNotBlocked
		reached[1][16] = 1;
		if (!((((int)now.source_runs)&&(!q_full(now.ring)))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 158: // STATE 17 - migration.pml:129 - [ring!START_BUFFER,active_id] (32:0:1 - 1)
		IfNotBlocked
		reached[1][17] = 1;
		if (q_full(now.ring))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.ring);
		sprintf(simtmp, "%d", 3); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P1 *)_this)->active_id)); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.ring, 0, 3, ((int)((P1 *)_this)->active_id), 0, 2);
		/* merge: p = 1(0, 19, 32) */
		reached[1][19] = 1;
		(trpt+1)->bup.oval = ((int)((P1 *)_this)->p);
		((P1 *)_this)->p = 1;
#ifdef VAR_RANGES
		logval("Driver:p", ((int)((P1 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 33, 32) */
		reached[1][33] = 1;
		;
		_m = 2; goto P999; /* 2 */
	case 159: // STATE 20 - migration.pml:132 - [(((p<3)&&(word==active_id)))] (0:0:0 - 1)
		IfNotBlocked
		reached[1][20] = 1;
		if (!(((((int)((P1 *)_this)->p)<3)&&(((int)now.word)==((int)((P1 *)_this)->active_id)))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 160: // STATE 21 - migration.pml:134 - [((source_runs&&nfull(ring)))] (0:0:0 - 1)
		IfNotBlocked
		reached[1][21] = 1;
		if (!((((int)now.source_runs)&&(!q_full(now.ring)))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 161: // STATE 22 - migration.pml:136 - [((!(used[p])&&!(held[p])))] (24:0:1 - 1)
		IfNotBlocked
		reached[1][22] = 1;
		if (!(( !(((int)now.used[ Index(((int)((P1 *)_this)->p), 3) ]))&& !(((int)now.held[ Index(((int)((P1 *)_this)->p), 3) ])))))
			continue;
		/* merge: held[p] = 1(0, 23, 24) */
		reached[1][23] = 1;
		(trpt+1)->bup.oval = ((int)now.held[ Index(((int)((P1 *)_this)->p), 3) ]);
		now.held[ Index(((P1 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("held[Driver:p]", ((int)now.held[ Index(((int)((P1 *)_this)->p), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 162: // STATE 24 - migration.pml:136 - [ring!BLOCK,p] (32:0:1 - 1)
		IfNotBlocked
		reached[1][24] = 1;
		if (q_full(now.ring))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.ring);
		sprintf(simtmp, "%d", 2); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", ((int)((P1 *)_this)->p)); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.ring, 0, 2, ((int)((P1 *)_this)->p), 0, 2);
		/* merge: .(goto)(32, 27, 32) */
		reached[1][27] = 1;
		;
		/* merge: p = (p+1)(32, 28, 32) */
		reached[1][28] = 1;
		(trpt+1)->bup.oval = ((int)((P1 *)_this)->p);
		((P1 *)_this)->p = (((int)((P1 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval("Driver:p", ((int)((P1 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 33, 32) */
		reached[1][33] = 1;
		;
		_m = 2; goto P999; /* 3 */
	case 163: // STATE 27 - migration.pml:139 - [.(goto)] (0:32:1 - 2)
		IfNotBlocked
		reached[1][27] = 1;
		;
		/* merge: p = (p+1)(32, 28, 32) */
		reached[1][28] = 1;
		(trpt+1)->bup.oval = ((int)((P1 *)_this)->p);
		((P1 *)_this)->p = (((int)((P1 *)_this)->p)+1);
#ifdef VAR_RANGES
		logval("Driver:p", ((int)((P1 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 33, 32) */
		reached[1][33] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 164: // STATE 35 - migration.pml:143 - [((source_runs&&nfull(ring)))] (0:0:0 - 1)
		IfNotBlocked
		reached[1][35] = 1;
		if (!((((int)now.source_runs)&&(!q_full(now.ring)))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 165: // STATE 36 - migration.pml:143 - [ring!STOP_BUFFER,0] (0:0:0 - 1)
		IfNotBlocked
		reached[1][36] = 1;
		if (q_full(now.ring))
			continue;
#ifdef HAS_CODE
		if (readtrail && gui) {
			char simtmp[64];
			sprintf(simvals, "%d!", now.ring);
		sprintf(simtmp, "%d", 1); strcat(simvals, simtmp);		strcat(simvals, ",");
		sprintf(simtmp, "%d", 0); strcat(simvals, simtmp);		}
#endif
		
		qsend(now.ring, 0, 1, 0, 0, 2);
		_m = 2; goto P999; /* 0 */
	case 166: // STATE 41 - migration.pml:145 - [-end-] (0:0:0 - 1)
		IfNotBlocked
		reached[1][41] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */

		 /* PROC Memory */
	case 167: // STATE 1 - migration.pml:93 - [((operations<4))] (0:0:0 - 1)
		IfNotBlocked
		reached[0][1] = 1;
		if (!((((int)now.operations)<4)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 168: // STATE 2 - migration.pml:95 - [p = 1] (0:0:1 - 1)
		IfNotBlocked
		reached[0][2] = 1;
		(trpt+1)->bup.oval = ((int)((P0 *)_this)->p);
		((P0 *)_this)->p = 1;
#ifdef VAR_RANGES
		logval("Memory:p", ((int)((P0 *)_this)->p));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 169: // STATE 3 - migration.pml:96 - [((3>2))] (39:0:1 - 1)
		IfNotBlocked
		reached[0][3] = 1;
		if (!((3>2)))
			continue;
		/* merge: p = 2(0, 4, 39) */
		reached[0][4] = 1;
		(trpt+1)->bup.oval = ((int)((P0 *)_this)->p);
		((P0 *)_this)->p = 2;
#ifdef VAR_RANGES
		logval("Memory:p", ((int)((P0 *)_this)->p));
#endif
		;
		/* merge: .(goto)(0, 6, 39) */
		reached[0][6] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 170: // STATE 7 - migration.pml:99 - [(source_runs)] (37:0:1 - 1)
		IfNotBlocked
		reached[0][7] = 1;
		if (!(((int)now.source_runs)))
			continue;
		/* merge: operations = (operations+1)(0, 8, 37) */
		reached[0][8] = 1;
		(trpt+1)->bup.oval = ((int)now.operations);
		now.operations = (((int)now.operations)+1);
#ifdef VAR_RANGES
		logval("operations", ((int)now.operations));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 171: // STATE 9 - migration.pml:102 - [((!(used[p])&&!(held[p])))] (43:0:2 - 1)
		IfNotBlocked
		reached[0][9] = 1;
		if (!(( !(((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]))&& !(((int)now.held[ Index(((int)((P0 *)_this)->p), 3) ])))))
			continue;
		/* merge: used[p] = 1(43, 10, 43) */
		reached[0][10] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.used[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("used[Memory:p]", ((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: written[p] = 0(43, 11, 43) */
		reached[0][11] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.written[ Index(((P0 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("written[Memory:p]", ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 4 */
	case 172: // STATE 38 - migration.pml:108 - [.(goto)] (0:43:0 - 5)
		IfNotBlocked
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 1 */
	case 173: // STATE 12 - migration.pml:103 - [((!(used[p])&&!(held[p])))] (43:0:1 - 1)
		IfNotBlocked
		reached[0][12] = 1;
		if (!(( !(((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]))&& !(((int)now.held[ Index(((int)((P0 *)_this)->p), 3) ])))))
			continue;
		/* merge: moved[p] = 1(43, 13, 43) */
		reached[0][13] = 1;
		(trpt+1)->bup.oval = ((int)moved[ Index(((int)((P0 *)_this)->p), 3) ]);
		moved[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("moved[Memory:p]", ((int)moved[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 3 */
	case 174: // STATE 14 - migration.pml:104 - [(used[p])] (22:0:1 - 1)
		IfNotBlocked
		reached[0][14] = 1;
		if (!(((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ])))
			continue;
		/* merge: written[p] = 1(0, 15, 22) */
		reached[0][15] = 1;
		(trpt+1)->bup.oval = ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.written[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("written[Memory:p]", ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 1 */
	case 175: // STATE 16 - migration.pml:80 - [fresh[p] = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[0][16] = 1;
		(trpt+1)->bup.oval = ((int)now.fresh[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.fresh[ Index(((P0 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("fresh[Memory:p]", ((int)now.fresh[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 176: // STATE 17 - migration.pml:82 - [((source_runs&&armed))] (43:0:1 - 1)
		IfNotBlocked
		reached[0][17] = 1;
		if (!((((int)now.source_runs)&&((int)now.armed))))
			continue;
		/* merge: logged[p] = 1(43, 18, 43) */
		reached[0][18] = 1;
		(trpt+1)->bup.oval = ((int)now.logged[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.logged[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("logged[Memory:p]", ((int)now.logged[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(43, 21, 43) */
		reached[0][21] = 1;
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 4 */
	case 177: // STATE 21 - migration.pml:85 - [.(goto)] (0:43:0 - 2)
		IfNotBlocked
		reached[0][21] = 1;
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 178: // STATE 23 - migration.pml:105 - [(used[p])] (43:0:2 - 1)
		IfNotBlocked
		reached[0][23] = 1;
		if (!(((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ])))
			continue;
		/* merge: used[p] = 0(43, 24, 43) */
		reached[0][24] = 1;
		(trpt+1)->bup.ovals = grab_ints(2);
		(trpt+1)->bup.ovals[0] = ((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.used[ Index(((P0 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("used[Memory:p]", ((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: written[p] = 0(43, 25, 43) */
		reached[0][25] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.written[ Index(((P0 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("written[Memory:p]", ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 4 */
	case 179: // STATE 26 - migration.pml:106 - [(held[p])] (36:0:3 - 1)
		IfNotBlocked
		reached[0][26] = 1;
		if (!(((int)now.held[ Index(((int)((P0 *)_this)->p), 3) ])))
			continue;
		/* merge: held[p] = 0(36, 27, 36) */
		reached[0][27] = 1;
		(trpt+1)->bup.ovals = grab_ints(3);
		(trpt+1)->bup.ovals[0] = ((int)now.held[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.held[ Index(((P0 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("held[Memory:p]", ((int)now.held[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: used[p] = 1(36, 28, 36) */
		reached[0][28] = 1;
		(trpt+1)->bup.ovals[1] = ((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.used[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("used[Memory:p]", ((int)now.used[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: written[p] = 1(36, 29, 36) */
		reached[0][29] = 1;
		(trpt+1)->bup.ovals[2] = ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.written[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("written[Memory:p]", ((int)now.written[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 3 */
	case 180: // STATE 30 - migration.pml:80 - [fresh[p] = 0] (0:0:1 - 1)
		IfNotBlocked
		reached[0][30] = 1;
		(trpt+1)->bup.oval = ((int)now.fresh[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.fresh[ Index(((P0 *)_this)->p, 3) ] = 0;
#ifdef VAR_RANGES
		logval("fresh[Memory:p]", ((int)now.fresh[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 181: // STATE 31 - migration.pml:82 - [((source_runs&&armed))] (43:0:1 - 1)
		IfNotBlocked
		reached[0][31] = 1;
		if (!((((int)now.source_runs)&&((int)now.armed))))
			continue;
		/* merge: logged[p] = 1(43, 32, 43) */
		reached[0][32] = 1;
		(trpt+1)->bup.oval = ((int)now.logged[ Index(((int)((P0 *)_this)->p), 3) ]);
		now.logged[ Index(((P0 *)_this)->p, 3) ] = 1;
#ifdef VAR_RANGES
		logval("logged[Memory:p]", ((int)now.logged[ Index(((int)((P0 *)_this)->p), 3) ]));
#endif
		;
		/* merge: .(goto)(43, 35, 43) */
		reached[0][35] = 1;
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 4 */
	case 182: // STATE 35 - migration.pml:85 - [.(goto)] (0:43:0 - 2)
		IfNotBlocked
		reached[0][35] = 1;
		;
		/* merge: .(goto)(43, 38, 43) */
		reached[0][38] = 1;
		;
		/* merge: .(goto)(0, 44, 43) */
		reached[0][44] = 1;
		;
		_m = 3; goto P999; /* 2 */
	case 183: // STATE 40 - migration.pml:109 - [((operations>=4))] (0:0:0 - 1)
		IfNotBlocked
		reached[0][40] = 1;
		if (!((((int)now.operations)>=4)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 184: // STATE 46 - migration.pml:112 - [-end-] (0:0:0 - 4)
		IfNotBlocked
		reached[0][46] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */
	case  _T5:	/* np_ */
		if (!((!(trpt->o_pm&4) && !(trpt->tau&128))))
			continue;
		/* else fall through */
	case  _T2:	/* true */
		_m = 3; goto P999;
#undef rand
	}

