#ifdef PEG
struct T_SRC {
	char *fl; int ln;
} T_SRC[NTRANS];

void
tr_2_src(int m, char *file, int ln)
{	T_SRC[m].fl = file;
	T_SRC[m].ln = ln;
}

void
putpeg(int n, int m)
{	printf("%5d	trans %4d ", m, n);
	printf("%s:%d\n",
		T_SRC[n].fl, T_SRC[n].ln);
}
#endif

void
settable(void)
{	Trans *T;
	Trans *settr(int, int, int, int, int, char *, int, int, int);

	trans = (Trans ***) emalloc(10*sizeof(Trans **));

	/* proctype 8: done_comes */

	trans[8] = (Trans **) emalloc(7*sizeof(Trans *));

	trans[8][4]	= settr(499,0,3,1,0,".(goto)", 0, 2, 0);
	T = trans[8][3] = settr(498,0,0,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(498,0,1,0,0,"DO", 0, 2, 0);
	trans[8][1]	= settr(496,0,3,3,0,"(!((host_over&&(outcome_unknown||((!(held[0])&&!(held[1]))&&!(held[(3-1)]))))))", 1, 2, 0);
	trans[8][2]	= settr(497,0,3,1,0,"goto T0_init", 0, 2, 0);
	trans[8][5]	= settr(500,0,6,1,0,"break", 0, 2, 0);
	trans[8][6]	= settr(501,0,0,4,4,"-end-", 0, 3500, 0);

	/* proctype 7: ends */

	trans[7] = (Trans **) emalloc(7*sizeof(Trans *));

	trans[7][4]	= settr(493,0,3,1,0,".(goto)", 0, 2, 0);
	T = trans[7][3] = settr(492,0,0,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(492,0,1,0,0,"DO", 0, 2, 0);
	trans[7][1]	= settr(490,0,3,5,0,"(!(host_over))", 1, 2, 0);
	trans[7][2]	= settr(491,0,3,1,0,"goto T0_init", 0, 2, 0);
	trans[7][5]	= settr(494,0,6,1,0,"break", 0, 2, 0);
	trans[7][6]	= settr(495,0,0,6,6,"-end-", 0, 3500, 0);

	/* proctype 6: :init: */

	trans[6] = (Trans **) emalloc(21*sizeof(Trans *));

	T = trans[ 6][19] = settr(488,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(488,2,1,0,0,"ATOMIC", 1, 2, 0);
	trans[6][1]	= settr(470,2,16,7,7,"p = 0", 1, 2, 0);
	trans[6][17]	= settr(486,2,16,1,0,".(goto)", 1, 2, 0);
	T = trans[6][16] = settr(485,2,0,0,0,"DO", 1, 2, 0);
	T = T->nxt	= settr(485,2,2,0,0,"DO", 1, 2, 0);
	    T->nxt	= settr(485,2,14,0,0,"DO", 1, 2, 0);
	trans[6][2]	= settr(471,2,11,8,0,"((p<3))", 1, 2, 0);
	T = trans[6][11] = settr(480,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(480,2,3,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(480,2,6,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(480,2,9,0,0,"IF", 1, 2, 0);
	trans[6][3]	= settr(472,2,16,9,9,"((p==0))", 1, 2, 0); /* m: 4 -> 16,0 */
	reached6[4] = 1;
	trans[6][4]	= settr(0,0,0,0,0,"used[p] = 1",0,0,0);
	trans[6][5]	= settr(0,0,0,0,0,"written[p] = 1",0,0,0);
	trans[6][12]	= settr(481,2,13,1,0,".(goto)", 1, 2, 0); /* m: 13 -> 0,16 */
	reached6[13] = 1;
	trans[6][6]	= settr(475,2,16,10,10,"((p!=0))", 1, 2, 0); /* m: 7 -> 16,0 */
	reached6[7] = 1;
	trans[6][7]	= settr(0,0,0,0,0,"used[p] = 1",0,0,0);
	trans[6][8]	= settr(0,0,0,0,0,"written[p] = 1",0,0,0);
	trans[6][9]	= settr(478,2,10,11,0,"((p!=0))", 1, 2, 0);
	trans[6][10]	= settr(479,2,16,12,12,"(1)", 1, 2, 0); /* m: 13 -> 16,0 */
	reached6[13] = 1;
	trans[6][13]	= settr(482,2,16,13,13,"p = (p+1)", 1, 2, 0);
	trans[6][14]	= settr(483,2,15,2,0,"else", 1, 2, 0);
	trans[6][15]	= settr(484,2,18,1,0,"goto :b19", 1, 2, 0);
	trans[6][18]	= settr(487,0,20,1,0,"break", 1, 2, 0);
	trans[6][20]	= settr(489,0,0,14,14,"-end-", 0, 3500, 0);

	/* proctype 5: Saboteur */

	trans[5] = (Trans **) emalloc(13*sizeof(Trans *));

	T = trans[5][10] = settr(467,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(467,0,8,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(467,0,9,0,0,"IF", 0, 2, 0);
	T = trans[ 5][8] = settr(465,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(465,2,1,0,0,"ATOMIC", 1, 504, 0);
	trans[5][1]	= settr(458,2,5,15,15,"link_up = 0", 1, 504, 0);
	trans[5][6]	= settr(463,2,5,1,0,".(goto)", 1, 504, 0);
	T = trans[5][5] = settr(462,2,0,0,0,"DO", 1, 504, 0);
	T = T->nxt	= settr(462,2,2,0,0,"DO", 1, 504, 0);
	    T->nxt	= settr(462,2,4,0,0,"DO", 1, 504, 0);
	trans[5][2]	= settr(459,2,3,16,0,"(nempty(link))", 1, 504, 0);
	trans[5][3]	= settr(460,2,5,17,17,"link?kind,p,generation", 1, 504, 0);
	trans[5][4]	= settr(461,2,7,1,0,"goto :b18", 1, 504, 0);
	trans[5][7]	= settr(464,0,12,1,0,"break", 1, 504, 0);
	trans[5][11]	= settr(468,0,12,1,0,".(goto)", 0, 2, 0);
	trans[5][9]	= settr(466,0,12,1,0,"(1)", 0, 2, 0);
	trans[5][12]	= settr(469,0,0,18,18,"-end-", 0, 3500, 0);

	/* proctype 4: Destination */

	trans[4] = (Trans **) emalloc(39*sizeof(Trans *));

	trans[4][35]	= settr(454,0,34,1,0,".(goto)", 0, 2, 0);
	T = trans[4][34] = settr(453,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(453,0,31,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(453,0,32,0,0,"DO", 0, 2, 0);
	T = trans[ 4][31] = settr(450,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(450,2,1,0,0,"ATOMIC", 1, 504, 5);
	trans[4][1]	= settr(420,2,27,19,19,"link?kind,p,generation", 1, 504, 5);
	T = trans[4][27] = settr(446,2,0,0,0,"IF", 1, 504, 5);
	T = T->nxt	= settr(446,2,2,0,0,"IF", 1, 504, 5);
	T = T->nxt	= settr(446,2,4,0,0,"IF", 1, 504, 5);
	T = T->nxt	= settr(446,2,5,0,0,"IF", 1, 504, 5);
	    T->nxt	= settr(446,2,8,0,0,"IF", 1, 504, 5);
	trans[4][2]	= settr(421,0,34,20,20,"((kind==PAGE))", 1, 504, 5); /* m: 3 -> 34,0 */
	reached4[3] = 1;
	trans[4][3]	= settr(0,0,0,0,0,"there[p] = generation",0,0,0);
	trans[4][28]	= settr(447,2,29,1,0,".(goto)", 1, 504, 5); /* m: 29 -> 0,34 */
	reached4[29] = 1;
	trans[4][4]	= settr(423,0,34,21,21,"((kind==FREE_PAGE))", 1, 504, 5); /* m: 29 -> 34,0 */
	reached4[29] = 1;
	trans[4][5]	= settr(424,2,7,22,22,"(((kind==SWITCHOVER)&&nfull(answers)))", 1, 504, 5); /* m: 6 -> 7,0 */
	reached4[6] = 1;
	trans[4][6]	= settr(0,0,0,0,0,"prepared = 1",0,0,0);
	trans[4][7]	= settr(426,0,34,23,23,"answers!READY", 1, 504, 5); /* m: 29 -> 34,0 */
	reached4[29] = 1;
	trans[4][8]	= settr(427,2,20,24,24,"(((kind==COMMIT)&&prepared))", 1, 504, 5);
	T = trans[ 4][20] = settr(439,0,0,0,0,"sub-sequence", 1, 504, 5);
	T->nxt	= settr(439,0,9,0,0,"sub-sequence", 1, 504, 5);
	trans[4][9]	= settr(428,2,17,25,25,"destination_runs = 1", 1, 504, 5); /* m: 10 -> 0,17 */
	reached4[10] = 1;
	trans[4][10]	= settr(0,0,0,0,0,"assert(!(source_runs))",0,0,0);
	trans[4][11]	= settr(0,0,0,0,0,"p = 0",0,0,0);
	trans[4][18]	= settr(437,2,17,1,0,".(goto)", 1, 504, 5);
	T = trans[4][17] = settr(436,2,0,0,0,"DO", 1, 504, 5);
	T = T->nxt	= settr(436,2,12,0,0,"DO", 1, 504, 5);
	    T->nxt	= settr(436,2,15,0,0,"DO", 1, 504, 5);
	trans[4][12]	= settr(431,2,17,26,26,"((p<3))", 1, 504, 5); /* m: 13 -> 17,0 */
	reached4[13] = 1;
	trans[4][13]	= settr(0,0,0,0,0,"assert((!((used[p]&&written[p]))||(fresh[p]&&(there[p]==sent[p]))))",0,0,0);
	trans[4][14]	= settr(0,0,0,0,0,"p = (p+1)",0,0,0);
	trans[4][15]	= settr(434,2,24,2,0,"else", 1, 504, 5);
	trans[4][16]	= settr(435,2,24,1,0,"goto :b17", 1, 504, 5);
	trans[4][19]	= settr(438,2,24,1,0,"break", 1, 504, 5);
	T = trans[4][24] = settr(443,2,0,0,0,"IF", 1, 504, 5);
	T = T->nxt	= settr(443,2,21,0,0,"IF", 1, 504, 5);
	    T->nxt	= settr(443,2,23,0,0,"IF", 1, 504, 5);
	trans[4][21]	= settr(440,2,22,27,0,"(link_up)", 1, 504, 5);
	trans[4][22]	= settr(441,4,36,28,28,"answers!RUNNING", 1, 504, 5); /* m: 25 -> 36,0 */
	reached4[25] = 1;
	trans[4][25]	= settr(444,2,26,1,0,".(goto)", 1, 504, 5); /* m: 26 -> 0,36 */
	reached4[26] = 1;
	trans[4][23]	= settr(442,2,25,2,0,"else", 1, 504, 5);
	trans[4][26]	= settr(445,0,36,29,29,"goto :b16", 1, 504, 5); /* m: 37 -> 0,36 */
	reached4[37] = 1;
	trans[4][29]	= settr(448,0,34,30,30,"p = 0", 1, 504, 5); /* m: 30 -> 0,34 */
	reached4[30] = 1;
	trans[4][30]	= settr(0,0,0,0,0,"generation = 0",0,0,0);
	trans[4][32]	= settr(451,0,37,31,0,"((!(link_up)&&empty(link)))", 1, 1004, 0);
	trans[4][33]	= settr(452,0,37,1,0,"goto :b16", 0, 2, 0);
	trans[4][36]	= settr(455,0,37,1,0,"break", 0, 2, 0);
	trans[4][37]	= settr(456,0,38,32,32,"destination_over = 1", 1, 2, 0);
	trans[4][38]	= settr(457,0,0,33,33,"-end-", 0, 3500, 0);

	/* proctype 3: Source */

	trans[3] = (Trans **) emalloc(291*sizeof(Trans *));

	T = trans[ 3][12] = settr(141,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(141,0,11,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][11] = settr(140,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(140,2,1,0,0,"ATOMIC", 1, 2, 0);
	trans[3][1]	= settr(130,2,8,34,34,"armed = 1", 1, 2, 0); /* m: 2 -> 0,8 */
	reached3[2] = 1;
	trans[3][2]	= settr(0,0,0,0,0,"q = 0",0,0,0);
	trans[3][9]	= settr(138,2,8,1,0,".(goto)", 1, 2, 0);
	T = trans[3][8] = settr(137,2,0,0,0,"DO", 1, 2, 0);
	T = T->nxt	= settr(137,2,3,0,0,"DO", 1, 2, 0);
	    T->nxt	= settr(137,2,6,0,0,"DO", 1, 2, 0);
	trans[3][3]	= settr(132,2,8,35,35,"((q<3))", 1, 2, 0); /* m: 4 -> 8,0 */
	reached3[4] = 1;
	trans[3][4]	= settr(0,0,0,0,0,"logged[q] = 0",0,0,0);
	trans[3][5]	= settr(0,0,0,0,0,"q = (q+1)",0,0,0);
	trans[3][6]	= settr(135,2,7,2,0,"else", 1, 2, 0);
	trans[3][7]	= settr(136,2,10,1,0,"goto :b5", 1, 2, 0);
	trans[3][10]	= settr(139,0,13,1,0,"break", 1, 2, 0);
	trans[3][13]	= settr(142,0,19,36,36,"q = 0", 0, 2, 0);
	trans[3][20]	= settr(149,0,19,1,0,".(goto)", 0, 2, 0);
	T = trans[3][19] = settr(148,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(148,0,14,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(148,0,17,0,0,"DO", 0, 2, 0);
	trans[3][14]	= settr(143,0,15,37,0,"((q<3))", 0, 2, 0);
	trans[3][15]	= settr(144,0,16,38,38,"pending[q] = 1", 1, 2, 0);
	trans[3][16]	= settr(145,0,19,39,39,"q = (q+1)", 0, 2, 0);
	trans[3][17]	= settr(146,0,136,2,0,"else", 0, 2, 0);
	trans[3][18]	= settr(147,0,136,1,0,"goto :b6", 0, 2, 0);
	trans[3][21]	= settr(150,0,136,1,0,"break", 0, 2, 0);
	trans[3][137]	= settr(266,0,136,1,0,".(goto)", 0, 2, 0);
	T = trans[3][136] = settr(265,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(265,0,22,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(265,0,131,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(265,0,133,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(265,0,135,0,0,"DO", 0, 2, 0);
	trans[3][22]	= settr(151,0,23,40,0,"(((round<2)&&link_up))", 1, 2, 0);
	trans[3][23]	= settr(152,0,30,41,41,"round = (round+1)", 0, 2, 0);
	T = trans[ 3][30] = settr(159,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(159,0,29,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][29] = settr(158,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(158,2,24,0,0,"ATOMIC", 1, 2, 0);
	trans[3][24]	= settr(153,4,83,42,42,"id = (id+1)", 1, 2, 0); /* m: 25 -> 0,83 */
	reached3[25] = 1;
	trans[3][25]	= settr(0,0,0,0,0,"open = id",0,0,0);
	trans[3][26]	= settr(0,0,0,0,0,"device_id = id",0,0,0);
	trans[3][27]	= settr(0,0,0,0,0,"device = REQUESTED",0,0,0);
	trans[3][28]	= settr(0,0,0,0,0,"word = id",0,0,0);
	T = trans[ 3][83] = settr(212,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(212,0,31,0,0,"sub-sequence", 0, 2, 0);
	trans[3][31]	= settr(160,0,55,43,43,"q = 0", 0, 2, 0);
	trans[3][56]	= settr(185,0,55,1,0,".(goto)", 0, 2, 0);
	T = trans[3][55] = settr(184,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(184,0,32,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(184,0,53,0,0,"DO", 0, 2, 0);
	trans[3][32]	= settr(161,0,50,44,0,"((q<3))", 0, 2, 0);
	T = trans[3][50] = settr(179,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(179,0,33,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(179,0,49,0,0,"IF", 0, 2, 0);
	trans[3][33]	= settr(162,0,34,45,0,"(pending[q])", 1, 2, 0);
	trans[3][34]	= settr(163,0,38,46,46,"pending[q] = 0", 1, 2, 0);
	T = trans[ 3][38] = settr(167,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(167,2,37,0,0,"ATOMIC", 1, 2, 0);
	T = trans[ 3][37] = settr(166,0,0,0,0,"sub-sequence", 1, 2, 0);
	T->nxt	= settr(166,0,35,0,0,"sub-sequence", 1, 2, 0);
	trans[3][35]	= settr(164,4,48,47,47,"fresh[q] = 1", 1, 2, 0); /* m: 36 -> 0,48 */
	reached3[36] = 1;
	trans[3][36]	= settr(0,0,0,0,0,"sent[q] = (1-sent[q])",0,0,0);
	T = trans[ 3][48] = settr(177,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(177,0,46,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][46] = settr(175,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(175,0,39,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(175,0,45,0,0,"IF", 0, 2, 0);
	trans[3][39]	= settr(168,0,43,48,0,"(link_up)", 1, 2, 0);
	T = trans[3][43] = settr(172,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(172,0,40,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(172,0,42,0,0,"IF", 0, 2, 0);
	trans[3][40]	= settr(169,0,41,49,0,"(nfull(link))", 1, 4, 0);
	trans[3][41]	= settr(170,0,52,50,50,"link!9,q,sent[q]", 1, 4, 0);
	trans[3][44]	= settr(173,0,52,1,0,".(goto)", 0, 2, 0); /* m: 52 -> 0,55 */
	reached3[52] = 1;
	trans[3][42]	= settr(171,0,52,51,0,"(!(link_up))", 1, 2, 0);
	trans[3][47]	= settr(176,0,52,1,0,".(goto)", 0, 2, 0); /* m: 52 -> 0,55 */
	reached3[52] = 1;
	trans[3][45]	= settr(174,0,52,52,0,"(!(link_up))", 1, 2, 0);
	trans[3][51]	= settr(180,0,52,1,0,".(goto)", 0, 2, 0); /* m: 52 -> 0,55 */
	reached3[52] = 1;
	trans[3][49]	= settr(178,0,52,2,0,"else", 0, 2, 0);
	trans[3][52]	= settr(181,0,55,53,53,"q = (q+1)", 0, 2, 0);
	trans[3][53]	= settr(182,0,58,2,0,"else", 0, 2, 0);
	trans[3][54]	= settr(183,0,58,1,0,"goto :b8", 0, 2, 0); /* m: 58 -> 0,80 */
	reached3[58] = 1;
	trans[3][57]	= settr(186,0,58,1,0,"break", 0, 2, 0);
	trans[3][58]	= settr(187,0,80,54,54,"q = 0", 0, 2, 0);
	trans[3][81]	= settr(210,0,80,1,0,".(goto)", 0, 2, 0);
	T = trans[3][80] = settr(209,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(209,0,59,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(209,0,78,0,0,"DO", 0, 2, 0);
	trans[3][59]	= settr(188,0,75,55,0,"((q<3))", 0, 2, 0);
	T = trans[3][75] = settr(204,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(204,0,60,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(204,0,74,0,0,"IF", 0, 2, 0);
	trans[3][60]	= settr(189,0,63,56,0,"((is_free[q]&&!(announced[q])))", 1, 2, 0);
	T = trans[ 3][63] = settr(192,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(192,2,61,0,0,"ATOMIC", 1, 2, 0);
	trans[3][61]	= settr(190,4,73,57,57,"announced[q] = 1", 1, 2, 0); /* m: 62 -> 0,73 */
	reached3[62] = 1;
	trans[3][62]	= settr(0,0,0,0,0,"fresh[q] = 0",0,0,0);
	T = trans[ 3][73] = settr(202,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(202,0,71,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][71] = settr(200,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(200,0,64,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(200,0,70,0,0,"IF", 0, 2, 0);
	trans[3][64]	= settr(193,0,68,58,0,"(link_up)", 1, 2, 0);
	T = trans[3][68] = settr(197,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(197,0,65,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(197,0,67,0,0,"IF", 0, 2, 0);
	trans[3][65]	= settr(194,0,66,59,0,"(nfull(link))", 1, 4, 0);
	trans[3][66]	= settr(195,0,77,60,60,"link!8,q,0", 1, 4, 0);
	trans[3][69]	= settr(198,0,77,1,0,".(goto)", 0, 2, 0); /* m: 77 -> 0,80 */
	reached3[77] = 1;
	trans[3][67]	= settr(196,0,77,61,0,"(!(link_up))", 1, 2, 0);
	trans[3][72]	= settr(201,0,77,1,0,".(goto)", 0, 2, 0); /* m: 77 -> 0,80 */
	reached3[77] = 1;
	trans[3][70]	= settr(199,0,77,62,0,"(!(link_up))", 1, 2, 0);
	trans[3][76]	= settr(205,0,77,1,0,".(goto)", 0, 2, 0); /* m: 77 -> 0,80 */
	reached3[77] = 1;
	trans[3][74]	= settr(203,0,77,2,0,"else", 0, 2, 0);
	trans[3][77]	= settr(206,0,80,63,63,"q = (q+1)", 0, 2, 0);
	trans[3][78]	= settr(207,0,88,2,0,"else", 0, 2, 0);
	trans[3][79]	= settr(208,0,88,1,0,"goto :b9", 0, 2, 0);
	trans[3][82]	= settr(211,0,88,1,0,"break", 0, 2, 0);
	T = trans[ 3][88] = settr(217,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(217,0,86,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][86] = settr(215,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(215,0,84,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(215,0,85,0,0,"IF", 0, 2, 0);
	trans[3][84]	= settr(213,0,97,64,0,"(empty(link))", 1, 1004, 0);
	trans[3][87]	= settr(216,0,97,1,0,".(goto)", 0, 2, 0);
	trans[3][85]	= settr(214,0,97,65,0,"(!(link_up))", 1, 2, 0);
	T = trans[ 3][97] = settr(226,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(226,0,96,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][96] = settr(225,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(225,2,89,0,0,"ATOMIC", 1, 2, 0);
	trans[3][89]	= settr(218,2,94,66,66,"open = 0", 1, 2, 0);
	T = trans[3][94] = settr(223,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(223,2,90,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(223,2,93,0,0,"IF", 1, 2, 0);
	trans[3][90]	= settr(219,4,130,67,67,"(((device!=IDLE)||(word>=2)))", 1, 2, 0); /* m: 91 -> 130,0 */
	reached3[91] = 1;
	trans[3][91]	= settr(0,0,0,0,0,"device = IDLE",0,0,0);
	trans[3][92]	= settr(0,0,0,0,0,"word = 0",0,0,0);
	trans[3][95]	= settr(224,0,130,68,68,".(goto)", 1, 2, 0);
	trans[3][93]	= settr(222,2,95,2,0,"else", 1, 2, 0);
	T = trans[ 3][130] = settr(259,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(259,0,98,0,0,"sub-sequence", 0, 2, 0);
	trans[3][98]	= settr(227,0,110,69,69,"q = 0", 0, 2, 0);
	trans[3][111]	= settr(240,0,110,1,0,".(goto)", 0, 2, 0);
	T = trans[3][110] = settr(239,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(239,0,99,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(239,0,108,0,0,"DO", 0, 2, 0);
	trans[3][99]	= settr(228,0,107,70,0,"((q<3))", 0, 2, 0);
	T = trans[ 3][107] = settr(236,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(236,2,104,0,0,"ATOMIC", 1, 2, 0);
	T = trans[3][104] = settr(233,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(233,2,100,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(233,2,103,0,0,"IF", 1, 2, 0);
	trans[3][100]	= settr(229,0,110,71,71,"(logged[q])", 1, 2, 0); /* m: 101 -> 110,0 */
	reached3[101] = 1;
	trans[3][101]	= settr(0,0,0,0,0,"logged[q] = 0",0,0,0);
	trans[3][102]	= settr(0,0,0,0,0,"scratch[q] = 1",0,0,0);
	trans[3][105]	= settr(234,0,110,72,72,".(goto)", 1, 2, 0); /* m: 106 -> 0,110 */
	reached3[106] = 1;
	trans[3][103]	= settr(232,2,105,2,0,"else", 1, 2, 0);
	trans[3][106]	= settr(0,0,0,0,0,"q = (q+1)",0,0,0);
	trans[3][108]	= settr(237,0,113,2,0,"else", 0, 2, 0);
	trans[3][109]	= settr(238,0,113,1,0,"goto :b10", 0, 2, 0); /* m: 113 -> 0,127 */
	reached3[113] = 1;
	trans[3][112]	= settr(241,0,113,1,0,"break", 0, 2, 0);
	trans[3][113]	= settr(242,0,127,73,73,"q = 0", 0, 2, 0);
	trans[3][128]	= settr(257,0,127,1,0,".(goto)", 0, 2, 0);
	T = trans[3][127] = settr(256,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(256,0,114,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(256,0,125,0,0,"DO", 0, 2, 0);
	trans[3][114]	= settr(243,0,124,74,0,"((q<3))", 0, 2, 0);
	T = trans[ 3][124] = settr(253,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(253,2,121,0,0,"ATOMIC", 1, 2, 0);
	T = trans[3][121] = settr(250,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(250,2,115,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(250,2,120,0,0,"IF", 1, 2, 0);
	trans[3][115]	= settr(244,0,127,75,75,"(scratch[q])", 1, 2, 0); /* m: 116 -> 127,0 */
	reached3[116] = 1;
	trans[3][116]	= settr(0,0,0,0,0,"scratch[q] = 0",0,0,0);
	trans[3][117]	= settr(0,0,0,0,0,"pending[q] = 1",0,0,0);
	trans[3][118]	= settr(0,0,0,0,0,"is_free[q] = 0",0,0,0);
	trans[3][119]	= settr(0,0,0,0,0,"announced[q] = 0",0,0,0);
	trans[3][122]	= settr(251,0,127,76,76,".(goto)", 1, 2, 0); /* m: 123 -> 0,127 */
	reached3[123] = 1;
	trans[3][120]	= settr(249,2,122,2,0,"else", 1, 2, 0);
	trans[3][123]	= settr(0,0,0,0,0,"q = (q+1)",0,0,0);
	trans[3][125]	= settr(254,0,136,2,0,"else", 0, 2, 0);
	trans[3][126]	= settr(255,0,136,1,0,"goto :b11", 0, 2, 0);
	trans[3][129]	= settr(258,0,136,1,0,"break", 0, 2, 0);
	trans[3][131]	= settr(260,0,143,77,77,"(((round>0)&&link_up))", 1, 2, 0);
	trans[3][132]	= settr(261,0,143,1,0,"goto switch_over", 0, 2, 0);
	trans[3][133]	= settr(262,0,288,78,0,"(!(link_up))", 1, 2, 0);
	trans[3][134]	= settr(263,0,288,1,0,"goto failed", 0, 2, 0);
	trans[3][135]	= settr(264,0,288,1,0,"goto failed", 0, 2, 0);
	trans[3][138]	= settr(267,0,143,1,0,"break", 0, 2, 0);
	T = trans[ 3][143] = settr(272,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(272,0,141,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][141] = settr(270,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(270,2,139,0,0,"ATOMIC", 1, 2, 0);
	trans[3][139]	= settr(268,4,142,79,79,"source_runs = 0", 1, 2, 0); /* m: 140 -> 0,142 */
	reached3[140] = 1;
	trans[3][140]	= settr(0,0,0,0,0,"parked = 1",0,0,0);
	trans[3][142]	= settr(271,0,152,80,0,"(!(device_busy))", 1, 2, 0);
	T = trans[ 3][152] = settr(281,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(281,0,151,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][151] = settr(280,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(280,2,144,0,0,"ATOMIC", 1, 2, 0);
	trans[3][144]	= settr(273,2,149,81,81,"open = 0", 1, 2, 0);
	T = trans[3][149] = settr(278,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(278,2,145,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(278,2,148,0,0,"IF", 1, 2, 0);
	trans[3][145]	= settr(274,4,185,82,82,"(((device!=IDLE)||(word>=2)))", 1, 2, 0); /* m: 146 -> 185,0 */
	reached3[146] = 1;
	trans[3][146]	= settr(0,0,0,0,0,"device = IDLE",0,0,0);
	trans[3][147]	= settr(0,0,0,0,0,"word = 0",0,0,0);
	trans[3][150]	= settr(279,0,185,83,83,".(goto)", 1, 2, 0);
	trans[3][148]	= settr(277,2,150,2,0,"else", 1, 2, 0);
	T = trans[ 3][185] = settr(314,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(314,0,153,0,0,"sub-sequence", 0, 2, 0);
	trans[3][153]	= settr(282,0,165,84,84,"q = 0", 0, 2, 0);
	trans[3][166]	= settr(295,0,165,1,0,".(goto)", 0, 2, 0);
	T = trans[3][165] = settr(294,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(294,0,154,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(294,0,163,0,0,"DO", 0, 2, 0);
	trans[3][154]	= settr(283,0,162,85,0,"((q<3))", 0, 2, 0);
	T = trans[ 3][162] = settr(291,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(291,2,159,0,0,"ATOMIC", 1, 2, 0);
	T = trans[3][159] = settr(288,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(288,2,155,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(288,2,158,0,0,"IF", 1, 2, 0);
	trans[3][155]	= settr(284,0,165,86,86,"(logged[q])", 1, 2, 0); /* m: 156 -> 165,0 */
	reached3[156] = 1;
	trans[3][156]	= settr(0,0,0,0,0,"logged[q] = 0",0,0,0);
	trans[3][157]	= settr(0,0,0,0,0,"scratch[q] = 1",0,0,0);
	trans[3][160]	= settr(289,0,165,87,87,".(goto)", 1, 2, 0); /* m: 161 -> 0,165 */
	reached3[161] = 1;
	trans[3][158]	= settr(287,2,160,2,0,"else", 1, 2, 0);
	trans[3][161]	= settr(0,0,0,0,0,"q = (q+1)",0,0,0);
	trans[3][163]	= settr(292,0,168,2,0,"else", 0, 2, 0);
	trans[3][164]	= settr(293,0,168,1,0,"goto :b12", 0, 2, 0); /* m: 168 -> 0,182 */
	reached3[168] = 1;
	trans[3][167]	= settr(296,0,168,1,0,"break", 0, 2, 0);
	trans[3][168]	= settr(297,0,182,88,88,"q = 0", 0, 2, 0);
	trans[3][183]	= settr(312,0,182,1,0,".(goto)", 0, 2, 0);
	T = trans[3][182] = settr(311,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(311,0,169,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(311,0,180,0,0,"DO", 0, 2, 0);
	trans[3][169]	= settr(298,0,179,89,0,"((q<3))", 0, 2, 0);
	T = trans[ 3][179] = settr(308,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(308,2,176,0,0,"ATOMIC", 1, 2, 0);
	T = trans[3][176] = settr(305,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(305,2,170,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(305,2,175,0,0,"IF", 1, 2, 0);
	trans[3][170]	= settr(299,0,182,90,90,"(scratch[q])", 1, 2, 0); /* m: 171 -> 182,0 */
	reached3[171] = 1;
	trans[3][171]	= settr(0,0,0,0,0,"scratch[q] = 0",0,0,0);
	trans[3][172]	= settr(0,0,0,0,0,"pending[q] = 1",0,0,0);
	trans[3][173]	= settr(0,0,0,0,0,"is_free[q] = 0",0,0,0);
	trans[3][174]	= settr(0,0,0,0,0,"announced[q] = 0",0,0,0);
	trans[3][177]	= settr(306,0,182,91,91,".(goto)", 1, 2, 0); /* m: 178 -> 0,182 */
	reached3[178] = 1;
	trans[3][175]	= settr(304,2,177,2,0,"else", 1, 2, 0);
	trans[3][178]	= settr(0,0,0,0,0,"q = (q+1)",0,0,0);
	trans[3][180]	= settr(309,0,186,2,0,"else", 0, 2, 0);
	trans[3][181]	= settr(310,0,186,1,0,"goto :b13", 0, 2, 0);
	trans[3][184]	= settr(313,0,186,1,0,"break", 0, 2, 0);
	trans[3][186]	= settr(315,0,239,92,92,"word = 1", 1, 2, 0);
	T = trans[ 3][239] = settr(368,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(368,0,187,0,0,"sub-sequence", 0, 2, 0);
	trans[3][187]	= settr(316,0,211,93,93,"q = 0", 0, 2, 0);
	trans[3][212]	= settr(341,0,211,1,0,".(goto)", 0, 2, 0);
	T = trans[3][211] = settr(340,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(340,0,188,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(340,0,209,0,0,"DO", 0, 2, 0);
	trans[3][188]	= settr(317,0,206,94,0,"((q<3))", 0, 2, 0);
	T = trans[3][206] = settr(335,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(335,0,189,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(335,0,205,0,0,"IF", 0, 2, 0);
	trans[3][189]	= settr(318,0,190,95,0,"(pending[q])", 1, 2, 0);
	trans[3][190]	= settr(319,0,194,96,96,"pending[q] = 0", 1, 2, 0);
	T = trans[ 3][194] = settr(323,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(323,2,193,0,0,"ATOMIC", 1, 2, 0);
	T = trans[ 3][193] = settr(322,0,0,0,0,"sub-sequence", 1, 2, 0);
	T->nxt	= settr(322,0,191,0,0,"sub-sequence", 1, 2, 0);
	trans[3][191]	= settr(320,4,204,97,97,"fresh[q] = 1", 1, 2, 0); /* m: 192 -> 0,204 */
	reached3[192] = 1;
	trans[3][192]	= settr(0,0,0,0,0,"sent[q] = (1-sent[q])",0,0,0);
	T = trans[ 3][204] = settr(333,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(333,0,202,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][202] = settr(331,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(331,0,195,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(331,0,201,0,0,"IF", 0, 2, 0);
	trans[3][195]	= settr(324,0,199,98,0,"(link_up)", 1, 2, 0);
	T = trans[3][199] = settr(328,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(328,0,196,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(328,0,198,0,0,"IF", 0, 2, 0);
	trans[3][196]	= settr(325,0,197,99,0,"(nfull(link))", 1, 4, 0);
	trans[3][197]	= settr(326,0,208,100,100,"link!9,q,sent[q]", 1, 4, 0);
	trans[3][200]	= settr(329,0,208,1,0,".(goto)", 0, 2, 0); /* m: 208 -> 0,211 */
	reached3[208] = 1;
	trans[3][198]	= settr(327,0,208,101,0,"(!(link_up))", 1, 2, 0);
	trans[3][203]	= settr(332,0,208,1,0,".(goto)", 0, 2, 0); /* m: 208 -> 0,211 */
	reached3[208] = 1;
	trans[3][201]	= settr(330,0,208,102,0,"(!(link_up))", 1, 2, 0);
	trans[3][207]	= settr(336,0,208,1,0,".(goto)", 0, 2, 0); /* m: 208 -> 0,211 */
	reached3[208] = 1;
	trans[3][205]	= settr(334,0,208,2,0,"else", 0, 2, 0);
	trans[3][208]	= settr(337,0,211,103,103,"q = (q+1)", 0, 2, 0);
	trans[3][209]	= settr(338,0,214,2,0,"else", 0, 2, 0);
	trans[3][210]	= settr(339,0,214,1,0,"goto :b14", 0, 2, 0); /* m: 214 -> 0,236 */
	reached3[214] = 1;
	trans[3][213]	= settr(342,0,214,1,0,"break", 0, 2, 0);
	trans[3][214]	= settr(343,0,236,104,104,"q = 0", 0, 2, 0);
	trans[3][237]	= settr(366,0,236,1,0,".(goto)", 0, 2, 0);
	T = trans[3][236] = settr(365,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(365,0,215,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(365,0,234,0,0,"DO", 0, 2, 0);
	trans[3][215]	= settr(344,0,231,105,0,"((q<3))", 0, 2, 0);
	T = trans[3][231] = settr(360,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(360,0,216,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(360,0,230,0,0,"IF", 0, 2, 0);
	trans[3][216]	= settr(345,0,219,106,0,"((is_free[q]&&!(announced[q])))", 1, 2, 0);
	T = trans[ 3][219] = settr(348,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(348,2,217,0,0,"ATOMIC", 1, 2, 0);
	trans[3][217]	= settr(346,4,229,107,107,"announced[q] = 1", 1, 2, 0); /* m: 218 -> 0,229 */
	reached3[218] = 1;
	trans[3][218]	= settr(0,0,0,0,0,"fresh[q] = 0",0,0,0);
	T = trans[ 3][229] = settr(358,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(358,0,227,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][227] = settr(356,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(356,0,220,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(356,0,226,0,0,"IF", 0, 2, 0);
	trans[3][220]	= settr(349,0,224,108,0,"(link_up)", 1, 2, 0);
	T = trans[3][224] = settr(353,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(353,0,221,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(353,0,223,0,0,"IF", 0, 2, 0);
	trans[3][221]	= settr(350,0,222,109,0,"(nfull(link))", 1, 4, 0);
	trans[3][222]	= settr(351,0,233,110,110,"link!8,q,0", 1, 4, 0);
	trans[3][225]	= settr(354,0,233,1,0,".(goto)", 0, 2, 0); /* m: 233 -> 0,236 */
	reached3[233] = 1;
	trans[3][223]	= settr(352,0,233,111,0,"(!(link_up))", 1, 2, 0);
	trans[3][228]	= settr(357,0,233,1,0,".(goto)", 0, 2, 0); /* m: 233 -> 0,236 */
	reached3[233] = 1;
	trans[3][226]	= settr(355,0,233,112,0,"(!(link_up))", 1, 2, 0);
	trans[3][232]	= settr(361,0,233,1,0,".(goto)", 0, 2, 0); /* m: 233 -> 0,236 */
	reached3[233] = 1;
	trans[3][230]	= settr(359,0,233,2,0,"else", 0, 2, 0);
	trans[3][233]	= settr(362,0,236,113,113,"q = (q+1)", 0, 2, 0);
	trans[3][234]	= settr(363,0,249,2,0,"else", 0, 2, 0);
	trans[3][235]	= settr(364,0,249,1,0,"goto :b15", 0, 2, 0);
	trans[3][238]	= settr(367,0,249,1,0,"break", 0, 2, 0);
	T = trans[ 3][249] = settr(378,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(378,0,247,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][247] = settr(376,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(376,0,240,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(376,0,246,0,0,"IF", 0, 2, 0);
	trans[3][240]	= settr(369,0,244,114,0,"(link_up)", 1, 2, 0);
	T = trans[3][244] = settr(373,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(373,0,241,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(373,0,243,0,0,"IF", 0, 2, 0);
	trans[3][241]	= settr(370,0,242,115,0,"(nfull(link))", 1, 4, 0);
	trans[3][242]	= settr(371,0,254,116,116,"link!7,0,0", 1, 4, 0);
	trans[3][245]	= settr(374,0,254,1,0,".(goto)", 0, 2, 0);
	trans[3][243]	= settr(372,0,254,117,0,"(!(link_up))", 1, 2, 0);
	trans[3][248]	= settr(377,0,254,1,0,".(goto)", 0, 2, 0);
	trans[3][246]	= settr(375,0,254,118,0,"(!(link_up))", 1, 2, 0);
	T = trans[3][254] = settr(383,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(383,0,250,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(383,0,251,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(383,0,253,0,0,"IF", 0, 2, 0);
	trans[3][250]	= settr(379,0,265,119,119,"answers?READY", 1, 505, 0);
	trans[3][255]	= settr(384,0,265,1,0,".(goto)", 0, 2, 0);
	trans[3][251]	= settr(380,0,288,120,0,"(!(link_up))", 1, 2, 0);
	trans[3][252]	= settr(381,0,288,1,0,"goto failed", 0, 2, 0);
	trans[3][253]	= settr(382,0,288,1,0,"goto failed", 0, 2, 0);
	T = trans[ 3][265] = settr(394,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(394,0,263,0,0,"sub-sequence", 0, 2, 0);
	T = trans[3][263] = settr(392,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(392,0,256,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(392,0,262,0,0,"IF", 0, 2, 0);
	trans[3][256]	= settr(385,0,260,121,0,"(link_up)", 1, 2, 0);
	T = trans[3][260] = settr(389,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(389,0,257,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(389,0,259,0,0,"IF", 0, 2, 0);
	trans[3][257]	= settr(386,0,258,122,0,"(nfull(link))", 1, 4, 0);
	trans[3][258]	= settr(387,0,269,123,123,"link!6,0,0", 1, 4, 0);
	trans[3][261]	= settr(390,0,269,1,0,".(goto)", 0, 2, 0);
	trans[3][259]	= settr(388,0,269,124,0,"(!(link_up))", 1, 2, 0);
	trans[3][264]	= settr(393,0,269,1,0,".(goto)", 0, 2, 0);
	trans[3][262]	= settr(391,0,269,125,0,"(!(link_up))", 1, 2, 0);
	T = trans[3][269] = settr(398,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(398,0,266,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(398,0,267,0,0,"IF", 0, 2, 0);
	trans[3][266]	= settr(395,0,271,126,126,"answers?RUNNING", 1, 505, 0);
	trans[3][270]	= settr(399,0,271,1,0,".(goto)", 0, 2, 0);
	trans[3][267]	= settr(396,0,268,127,0,"(!(link_up))", 1, 2, 0);
	trans[3][268]	= settr(397,0,271,128,128,"outcome_unknown = 1", 1, 2, 0);
	trans[3][271]	= settr(400,0,289,129,129,"armed = 0", 1, 2, 0);
	trans[3][272]	= settr(401,0,289,1,0,"goto over", 0, 2, 0);
	T = trans[ 3][288] = settr(417,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(417,0,281,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][281] = settr(410,0,0,0,0,"sub-sequence", 0, 2, 0);
	T->nxt	= settr(410,0,280,0,0,"sub-sequence", 0, 2, 0);
	T = trans[ 3][280] = settr(409,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(409,2,273,0,0,"ATOMIC", 1, 2, 0);
	trans[3][273]	= settr(402,2,278,130,130,"open = 0", 1, 2, 0);
	T = trans[3][278] = settr(407,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(407,2,274,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(407,2,277,0,0,"IF", 1, 2, 0);
	trans[3][274]	= settr(403,4,282,131,131,"(((device!=IDLE)||(word>=2)))", 1, 2, 0); /* m: 275 -> 282,0 */
	reached3[275] = 1;
	trans[3][275]	= settr(0,0,0,0,0,"device = IDLE",0,0,0);
	trans[3][276]	= settr(0,0,0,0,0,"word = 0",0,0,0);
	trans[3][279]	= settr(408,0,282,132,132,".(goto)", 1, 2, 0);
	trans[3][277]	= settr(406,2,279,2,0,"else", 1, 2, 0);
	trans[3][282]	= settr(411,0,283,133,133,"word = 1", 1, 2, 0);
	trans[3][283]	= settr(412,0,287,134,134,"armed = 0", 1, 2, 0);
	T = trans[ 3][287] = settr(416,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(416,2,284,0,0,"ATOMIC", 1, 2, 0);
	trans[3][284]	= settr(413,4,289,135,135,"parked = 0", 1, 2, 0); /* m: 285 -> 0,289 */
	reached3[285] = 1;
	trans[3][285]	= settr(0,0,0,0,0,"source_runs = 1",0,0,0);
	trans[3][286]	= settr(0,0,0,0,0,"link_up = 0",0,0,0);
	trans[3][289]	= settr(418,0,290,136,136,"host_over = 1", 1, 2, 0);
	trans[3][290]	= settr(419,0,0,137,137,"-end-", 0, 3500, 0);

	/* proctype 2: HintThread */

	trans[2] = (Trans **) emalloc(44*sizeof(Trans *));

	trans[2][41]	= settr(127,0,40,1,0,".(goto)", 0, 2, 0);
	T = trans[2][40] = settr(126,0,0,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(126,0,12,0,0,"DO", 0, 2, 0);
	T = trans[ 2][12] = settr(98,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(98,2,1,0,0,"ATOMIC", 1, 503, 0);
	trans[2][1]	= settr(87,2,2,138,0,"(((source_runs&&!(parked))&&nempty(ring)))", 1, 503, 0);
	trans[2][2]	= settr(88,2,11,139,139,"ring?kind,value", 1, 503, 0); /* m: 3 -> 11,0 */
	reached2[3] = 1;
	trans[2][3]	= settr(0,0,0,0,0,"device_busy = 1",0,0,0);
	trans[2][4]	= settr(0,0,0,0,0,"id = device_id",0,0,0);
	T = trans[ 2][11] = settr(97,0,0,0,0,"sub-sequence", 1, 503, 0);
	T->nxt	= settr(97,0,5,0,0,"sub-sequence", 1, 503, 0);
	trans[2][5]	= settr(91,2,9,140,140,"fresh[0] = 0", 1, 503, 0);
	T = trans[2][9] = settr(95,2,0,0,0,"IF", 1, 503, 0);
	T = T->nxt	= settr(95,2,6,0,0,"IF", 1, 503, 0);
	    T->nxt	= settr(95,2,8,0,0,"IF", 1, 503, 0);
	trans[2][6]	= settr(92,4,38,141,141,"(armed)", 1, 503, 0); /* m: 7 -> 38,0 */
	reached2[7] = 1;
	trans[2][7]	= settr(0,0,0,0,0,"logged[0] = 1",0,0,0);
	trans[2][10]	= settr(96,0,38,142,142,".(goto)", 1, 503, 0);
	trans[2][8]	= settr(94,2,10,2,0,"else", 1, 503, 0);
	T = trans[2][38] = settr(124,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(124,0,13,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(124,0,21,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(124,0,29,0,0,"IF", 0, 2, 0);
	trans[2][13]	= settr(99,0,20,143,143,"((kind==START_BUFFER))", 0, 2, 0);
	T = trans[ 2][20] = settr(106,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(106,2,17,0,0,"ATOMIC", 1, 2, 0);
	T = trans[2][17] = settr(103,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(103,2,14,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(103,2,16,0,0,"IF", 1, 2, 0);
	trans[2][14]	= settr(100,0,40,144,144,"(((device==REQUESTED)&&(value==device_id)))", 1, 2, 0); /* m: 15 -> 40,0 */
	reached2[15] = 1;
	trans[2][15]	= settr(0,0,0,0,0,"device = STARTED",0,0,0);
	trans[2][18]	= settr(104,0,40,145,145,".(goto)", 1, 2, 0); /* m: 19 -> 0,40 */
	reached2[19] = 1;
	trans[2][16]	= settr(102,2,18,2,0,"else", 1, 2, 0);
	trans[2][19]	= settr(0,0,0,0,0,"device_busy = 0",0,0,0);
	trans[2][39]	= settr(125,0,40,1,0,".(goto)", 0, 2, 0);
	trans[2][21]	= settr(107,0,28,146,146,"((kind==STOP_BUFFER))", 0, 2, 0);
	T = trans[ 2][28] = settr(114,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(114,2,25,0,0,"ATOMIC", 1, 2, 0);
	T = trans[2][25] = settr(111,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(111,2,22,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(111,2,24,0,0,"IF", 1, 2, 0);
	trans[2][22]	= settr(108,0,40,147,147,"((device==STARTED))", 1, 2, 0); /* m: 23 -> 40,0 */
	reached2[23] = 1;
	trans[2][23]	= settr(0,0,0,0,0,"device = IDLE",0,0,0);
	trans[2][26]	= settr(112,0,40,148,148,".(goto)", 1, 2, 0); /* m: 27 -> 0,40 */
	reached2[27] = 1;
	trans[2][24]	= settr(110,2,26,2,0,"else", 1, 2, 0);
	trans[2][27]	= settr(0,0,0,0,0,"device_busy = 0",0,0,0);
	trans[2][29]	= settr(115,0,37,149,149,"((kind==BLOCK))", 0, 2, 0);
	T = trans[ 2][37] = settr(123,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(123,2,34,0,0,"ATOMIC", 1, 2, 0);
	T = trans[2][34] = settr(120,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(120,2,30,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(120,2,33,0,0,"IF", 1, 2, 0);
	trans[2][30]	= settr(116,0,40,150,150,"((((open!=0)&&(open==id))&&(device==STARTED)))", 1, 2, 0); /* m: 31 -> 40,0 */
	reached2[31] = 1;
	trans[2][31]	= settr(0,0,0,0,0,"pending[value] = 0",0,0,0);
	trans[2][32]	= settr(0,0,0,0,0,"is_free[value] = 1",0,0,0);
	trans[2][35]	= settr(121,0,40,151,151,".(goto)", 1, 2, 0); /* m: 36 -> 0,40 */
	reached2[36] = 1;
	trans[2][33]	= settr(119,2,35,2,0,"else", 1, 2, 0);
	trans[2][36]	= settr(0,0,0,0,0,"device_busy = 0",0,0,0);
	trans[2][42]	= settr(128,0,43,1,0,"break", 0, 2, 0);
	trans[2][43]	= settr(129,0,0,152,152,"-end-", 0, 3500, 0);

	/* proctype 1: Driver */

	trans[1] = (Trans **) emalloc(42*sizeof(Trans *));

	trans[1][39]	= settr(84,0,38,1,0,".(goto)", 0, 2, 0);
	T = trans[1][38] = settr(83,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(83,0,12,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(83,0,15,0,0,"DO", 0, 2, 0);
	T = trans[ 1][12] = settr(57,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(57,2,1,0,0,"ATOMIC", 1, 2, 0);
	trans[1][1]	= settr(46,2,8,153,153,"((((source_runs||destination_runs)&&(word==1))&&((held[0]||held[1])||held[(3-1)])))", 1, 2, 0); /* m: 2 -> 8,0 */
	reached1[2] = 1;
	trans[1][2]	= settr(0,0,0,0,0,"p = 0",0,0,0);
	trans[1][9]	= settr(54,2,8,1,0,".(goto)", 1, 2, 0);
	T = trans[1][8] = settr(53,2,0,0,0,"DO", 1, 2, 0);
	T = T->nxt	= settr(53,2,3,0,0,"DO", 1, 2, 0);
	    T->nxt	= settr(53,2,6,0,0,"DO", 1, 2, 0);
	trans[1][3]	= settr(48,2,8,154,154,"((p<3))", 1, 2, 0); /* m: 4 -> 8,0 */
	reached1[4] = 1;
	trans[1][4]	= settr(0,0,0,0,0,"held[p] = 0",0,0,0);
	trans[1][5]	= settr(0,0,0,0,0,"p = (p+1)",0,0,0);
	trans[1][6]	= settr(51,2,10,2,0,"else", 1, 2, 0);
	trans[1][7]	= settr(52,2,10,1,0,"goto :b2", 1, 2, 0);
	trans[1][10]	= settr(55,2,11,1,0,"break", 1, 2, 0);
	trans[1][11]	= settr(56,0,38,155,155,"p = 0", 1, 2, 0);
	T = trans[ 1][15] = settr(60,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(60,2,13,0,0,"ATOMIC", 1, 2, 0);
	trans[1][13]	= settr(58,4,18,156,156,"(((source_runs&&(word>=2))&&(word!=active_id)))", 1, 2, 0); /* m: 14 -> 18,0 */
	reached1[14] = 1;
	trans[1][14]	= settr(0,0,0,0,0,"active_id = word",0,0,0);
	T = trans[ 1][18] = settr(63,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(63,2,16,0,0,"ATOMIC", 1, 3, 0);
	trans[1][16]	= settr(61,2,17,157,0,"((source_runs&&nfull(ring)))", 1, 3, 0);
	trans[1][17]	= settr(62,0,32,158,158,"ring!START_BUFFER,active_id", 1, 3, 0); /* m: 19 -> 32,0 */
	reached1[19] = 1;
	trans[1][19]	= settr(0,0,0,0,0,"p = 1",0,0,0);
	trans[1][33]	= settr(78,0,32,1,0,".(goto)", 0, 2, 0);
	T = trans[1][32] = settr(77,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(77,0,20,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(77,0,30,0,0,"DO", 0, 2, 0);
	trans[1][20]	= settr(65,0,29,159,0,"(((p<3)&&(word==active_id)))", 1, 2, 0);
	T = trans[ 1][29] = settr(74,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(74,2,21,0,0,"ATOMIC", 1, 3, 0);
	trans[1][21]	= settr(66,2,26,160,0,"((source_runs&&nfull(ring)))", 1, 3, 0);
	T = trans[1][26] = settr(71,2,0,0,0,"IF", 1, 3, 0);
	T = T->nxt	= settr(71,2,22,0,0,"IF", 1, 3, 0);
	    T->nxt	= settr(71,2,25,0,0,"IF", 1, 3, 0);
	trans[1][22]	= settr(67,2,24,161,161,"((!(used[p])&&!(held[p])))", 1, 3, 0); /* m: 23 -> 24,0 */
	reached1[23] = 1;
	trans[1][23]	= settr(0,0,0,0,0,"held[p] = 1",0,0,0);
	trans[1][24]	= settr(69,0,32,162,162,"ring!BLOCK,p", 1, 3, 0); /* m: 27 -> 32,0 */
	reached1[27] = 1;
	trans[1][27]	= settr(72,0,32,163,163,".(goto)", 1, 3, 0); /* m: 28 -> 0,32 */
	reached1[28] = 1;
	trans[1][25]	= settr(70,2,27,2,0,"else", 1, 3, 0);
	trans[1][28]	= settr(0,0,0,0,0,"p = (p+1)",0,0,0);
	trans[1][30]	= settr(75,0,37,2,0,"else", 0, 2, 0);
	trans[1][31]	= settr(76,0,37,1,0,"goto :b3", 0, 2, 0);
	trans[1][34]	= settr(79,0,37,1,0,"break", 0, 2, 0);
	T = trans[ 1][37] = settr(82,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(82,2,35,0,0,"ATOMIC", 1, 3, 0);
	trans[1][35]	= settr(80,2,36,164,0,"((source_runs&&nfull(ring)))", 1, 3, 0);
	trans[1][36]	= settr(81,0,38,165,165,"ring!STOP_BUFFER,0", 1, 3, 0);
	trans[1][40]	= settr(85,0,41,1,0,"break", 0, 2, 0);
	trans[1][41]	= settr(86,0,0,166,166,"-end-", 0, 3500, 0);

	/* proctype 0: Memory */

	trans[0] = (Trans **) emalloc(47*sizeof(Trans *));

	trans[0][44]	= settr(43,0,43,1,0,".(goto)", 0, 2, 0);
	T = trans[0][43] = settr(42,0,0,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(42,0,1,0,0,"DO", 0, 2, 0);
	T = T->nxt	= settr(42,0,40,0,0,"DO", 0, 2, 0);
	    T->nxt	= settr(42,0,42,0,0,"DO", 0, 2, 0);
	trans[0][1]	= settr(0,0,5,167,0,"((operations<4))", 1, 2, 0);
	T = trans[0][5] = settr(4,0,0,0,0,"IF", 0, 2, 0);
	T = T->nxt	= settr(4,0,2,0,0,"IF", 0, 2, 0);
	    T->nxt	= settr(4,0,3,0,0,"IF", 0, 2, 0);
	trans[0][2]	= settr(1,0,39,168,168,"p = 1", 0, 2, 0);
	trans[0][6]	= settr(5,0,39,1,0,".(goto)", 0, 2, 0);
	trans[0][3]	= settr(2,0,39,169,169,"((3>2))", 0, 2, 0); /* m: 4 -> 39,0 */
	reached0[4] = 1;
	trans[0][4]	= settr(0,0,0,0,0,"p = 2",0,0,0);
	T = trans[ 0][39] = settr(38,2,0,0,0,"ATOMIC", 1, 2, 0);
	T->nxt	= settr(38,2,7,0,0,"ATOMIC", 1, 2, 0);
	trans[0][7]	= settr(6,2,37,170,170,"(source_runs)", 1, 2, 0); /* m: 8 -> 37,0 */
	reached0[8] = 1;
	trans[0][8]	= settr(0,0,0,0,0,"operations = (operations+1)",0,0,0);
	T = trans[0][37] = settr(36,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(36,2,9,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(36,2,12,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(36,2,14,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(36,2,23,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(36,2,26,0,0,"IF", 1, 2, 0);
	trans[0][9]	= settr(8,0,43,171,171,"((!(used[p])&&!(held[p])))", 1, 2, 0); /* m: 10 -> 43,0 */
	reached0[10] = 1;
	trans[0][10]	= settr(0,0,0,0,0,"used[p] = 1",0,0,0);
	trans[0][11]	= settr(0,0,0,0,0,"written[p] = 0",0,0,0);
	trans[0][38]	= settr(37,0,43,172,172,".(goto)", 1, 2, 0);
	trans[0][12]	= settr(11,0,43,173,173,"((!(used[p])&&!(held[p])))", 1, 2, 0); /* m: 13 -> 43,0 */
	reached0[13] = 1;
	trans[0][13]	= settr(0,0,0,0,0,"moved[p] = 1",0,0,0);
	trans[0][14]	= settr(13,2,22,174,174,"(used[p])", 1, 2, 0); /* m: 15 -> 22,0 */
	reached0[15] = 1;
	trans[0][15]	= settr(0,0,0,0,0,"written[p] = 1",0,0,0);
	T = trans[ 0][22] = settr(21,0,0,0,0,"sub-sequence", 1, 2, 0);
	T->nxt	= settr(21,0,16,0,0,"sub-sequence", 1, 2, 0);
	trans[0][16]	= settr(15,2,20,175,175,"fresh[p] = 0", 1, 2, 0);
	T = trans[0][20] = settr(19,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(19,2,17,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(19,2,19,0,0,"IF", 1, 2, 0);
	trans[0][17]	= settr(16,0,43,176,176,"((source_runs&&armed))", 1, 2, 0); /* m: 18 -> 43,0 */
	reached0[18] = 1;
	trans[0][18]	= settr(0,0,0,0,0,"logged[p] = 1",0,0,0);
	trans[0][21]	= settr(20,0,43,177,177,".(goto)", 1, 2, 0); /* m: 38 -> 0,43 */
	reached0[38] = 1;
	trans[0][19]	= settr(18,2,21,2,0,"else", 1, 2, 0);
	trans[0][23]	= settr(22,0,43,178,178,"(used[p])", 1, 2, 0); /* m: 24 -> 43,0 */
	reached0[24] = 1;
	trans[0][24]	= settr(0,0,0,0,0,"used[p] = 0",0,0,0);
	trans[0][25]	= settr(0,0,0,0,0,"written[p] = 0",0,0,0);
	trans[0][26]	= settr(25,2,36,179,179,"(held[p])", 1, 2, 0); /* m: 27 -> 36,0 */
	reached0[27] = 1;
	trans[0][27]	= settr(0,0,0,0,0,"held[p] = 0",0,0,0);
	trans[0][28]	= settr(0,0,0,0,0,"used[p] = 1",0,0,0);
	trans[0][29]	= settr(0,0,0,0,0,"written[p] = 1",0,0,0);
	T = trans[ 0][36] = settr(35,0,0,0,0,"sub-sequence", 1, 2, 0);
	T->nxt	= settr(35,0,30,0,0,"sub-sequence", 1, 2, 0);
	trans[0][30]	= settr(29,2,34,180,180,"fresh[p] = 0", 1, 2, 0);
	T = trans[0][34] = settr(33,2,0,0,0,"IF", 1, 2, 0);
	T = T->nxt	= settr(33,2,31,0,0,"IF", 1, 2, 0);
	    T->nxt	= settr(33,2,33,0,0,"IF", 1, 2, 0);
	trans[0][31]	= settr(30,0,43,181,181,"((source_runs&&armed))", 1, 2, 0); /* m: 32 -> 43,0 */
	reached0[32] = 1;
	trans[0][32]	= settr(0,0,0,0,0,"logged[p] = 1",0,0,0);
	trans[0][35]	= settr(34,0,43,182,182,".(goto)", 1, 2, 0); /* m: 38 -> 0,43 */
	reached0[38] = 1;
	trans[0][33]	= settr(32,2,35,2,0,"else", 1, 2, 0);
	trans[0][40]	= settr(39,0,46,183,0,"((operations>=4))", 1, 2, 0);
	trans[0][41]	= settr(40,0,46,1,0,"goto :b0", 0, 2, 0);
	trans[0][42]	= settr(41,0,46,1,0,"goto :b0", 0, 2, 0);
	trans[0][45]	= settr(44,0,46,1,0,"break", 0, 2, 0);
	trans[0][46]	= settr(45,0,0,184,184,"-end-", 0, 3500, 0);
	/* np_ demon: */
	trans[_NP_] = (Trans **) emalloc(3*sizeof(Trans *));
	T = trans[_NP_][0] = settr(9997,0,1,_T5,0,"(np_)", 1,2,0);
	    T->nxt	  = settr(9998,0,0,_T2,0,"(1)",   0,2,0);
	T = trans[_NP_][1] = settr(9999,0,1,_T5,0,"(np_)", 1,2,0);
}

Trans *
settr(	int t_id, int a, int b, int c, int d,
	char *t, int g, int tpe0, int tpe1)
{	Trans *tmp = (Trans *) emalloc(sizeof(Trans));

	tmp->atom  = a&(6|32);	/* only (2|8|32) have meaning */
	if (!g) tmp->atom |= 8;	/* no global references */
	tmp->st    = b;
	tmp->tpe[0] = tpe0;
	tmp->tpe[1] = tpe1;
	tmp->tp    = t;
	tmp->t_id  = t_id;
	tmp->forw  = c;
	tmp->back  = d;
	return tmp;
}

Trans *
cpytr(Trans *a)
{	Trans *tmp = (Trans *) emalloc(sizeof(Trans));

	int i;
	tmp->atom  = a->atom;
	tmp->st    = a->st;
#ifdef HAS_UNLESS
	tmp->e_trans = a->e_trans;
	for (i = 0; i < HAS_UNLESS; i++)
		tmp->escp[i] = a->escp[i];
#endif
	tmp->tpe[0] = a->tpe[0];
	tmp->tpe[1] = a->tpe[1];
	for (i = 0; i < 6; i++)
	{	tmp->qu[i] = a->qu[i];
		tmp->ty[i] = a->ty[i];
	}
	tmp->tp    = (char *) emalloc(strlen(a->tp)+1);
	strcpy(tmp->tp, a->tp);
	tmp->t_id  = a->t_id;
	tmp->forw  = a->forw;
	tmp->back  = a->back;
	return tmp;
}

#ifndef NOREDUCE
int
srinc_set(int n)
{	if (n <= 2) return LOCAL;
	if (n <= 2+  DELTA) return Q_FULL_F; /* 's' or nfull  */
	if (n <= 2+2*DELTA) return Q_EMPT_F; /* 'r' or nempty */
	if (n <= 2+3*DELTA) return Q_EMPT_T; /* empty */
	if (n <= 2+4*DELTA) return Q_FULL_T; /* full  */
	if (n ==   5*DELTA) return GLOBAL;
	if (n ==   6*DELTA) return TIMEOUT_F;
	if (n ==   7*DELTA) return ALPHA_F;
	Uerror("cannot happen srinc_class");
	return BAD;
}
int
srunc(int n, int m)
{	switch(m) {
	case Q_FULL_F: return n-2;
	case Q_EMPT_F: return n-2-DELTA;
	case Q_EMPT_T: return n-2-2*DELTA;
	case Q_FULL_T: return n-2-3*DELTA;
	case ALPHA_F:
	case TIMEOUT_F: return 257; /* non-zero, and > MAXQ */
	}
	Uerror("cannot happen srunc");
	return 0;
}
#endif
int cnt;
#ifdef HAS_UNLESS
int
isthere(Trans *a, int b)
{	Trans *t;
	for (t = a; t; t = t->nxt)
		if (t->t_id == b)
			return 1;
	return 0;
}
#endif
#ifndef NOREDUCE
int
mark_safety(Trans *t) /* for conditional safety */
{	int g = 0, i, j, k;

	if (!t) return 0;
	if (t->qu[0])
		return (t->qu[1])?2:1;	/* marked */

	for (i = 0; i < 2; i++)
	{	j = srinc_set(t->tpe[i]);
		if (j >= GLOBAL && j != ALPHA_F)
			return -1;
		if (j != LOCAL)
		{	k = srunc(t->tpe[i], j);
			if (g == 0
			||  t->qu[0] != k
			||  t->ty[0] != j)
			{	t->qu[g] = k;
				t->ty[g] = j;
				g++;
	}	}	}
	return g;
}
#endif
void
retrans(int n, int m, int is, short srcln[], uchar reach[], uchar lpstate[])
	/* process n, with m states, is=initial state */
{	Trans *T0, *T1, *T2, *T3;
	Trans *T4, *T5; /* t_reverse or has_unless */
	int i;
#if defined(HAS_UNLESS) || !defined(NOREDUCE)
	int k;
#endif
#ifndef NOREDUCE
	int g, h, j, aa;
#endif
#ifdef HAS_UNLESS
	int p;
#endif
	if (state_tables >= 4)
	{	printf("STEP 1 %s\n", 
			procname[n]);
		for (i = 1; i < m; i++)
		for (T0 = trans[n][i]; T0; T0 = T0->nxt)
			crack(n, i, T0, srcln);
		return;
	}
	do {
		for (i = 1, cnt = 0; i < m; i++)
		{	T2 = trans[n][i];
			T1 = T2?T2->nxt:(Trans *)0;
/* prescan: */		for (T0 = T1; T0; T0 = T0->nxt)
/* choice in choice */	{	if (T0->st && trans[n][T0->st]
				&&  trans[n][T0->st]->nxt)
					break;
			}
#if 0
		if (T0)
		printf("\tstate %d / %d: choice in choice\n",
		i, T0->st);
#endif
			if (T0)
			for (T0 = T1; T0; T0 = T0->nxt)
			{	T3 = trans[n][T0->st];
				if (!T3->nxt)
				{	T2->nxt = cpytr(T0);
					T2 = T2->nxt;
					imed(T2, T0->st, n, i);
					continue;
				}
				do {	T3 = T3->nxt;
					T2->nxt = cpytr(T3);
					T2 = T2->nxt;
					imed(T2, T0->st, n, i);
				} while (T3->nxt);
				cnt++;
			}
		}
	} while (cnt);
	if (state_tables >= 3)
	{	printf("STEP 2 %s\n", 
			procname[n]);
		for (i = 1; i < m; i++)
		for (T0 = trans[n][i]; T0; T0 = T0->nxt)
			crack(n, i, T0, srcln);
		return;
	}
	for (i = 1; i < m; i++)
	{	if (trans[n][i] && trans[n][i]->nxt) /* optimize */
		{	T1 = trans[n][i]->nxt;
#if 0
			printf("\t\tpull %d (%d) to %d\n",
			T1->st, T1->forw, i);
#endif
			srcln[i] = srcln[T1->st];	/* Oyvind Teig, 5.2.0 */

			if (!trans[n][T1->st]) continue;
			T0 = cpytr(trans[n][T1->st]);
			trans[n][i] = T0;
			reach[T1->st] = 1;
			imed(T0, T1->st, n, i);
			for (T1 = T1->nxt; T1; T1 = T1->nxt)
			{
#if 0
			printf("\t\tpull %d (%d) to %d\n",
				T1->st, T1->forw, i);
#endif
		/*		srcln[i] = srcln[T1->st];  gh: not useful */
				if (!trans[n][T1->st]) continue;
				T0->nxt = cpytr(trans[n][T1->st]);
				T0 = T0->nxt;
				reach[T1->st] = 1;
				imed(T0, T1->st, n, i);
	}	}	}
	if (state_tables >= 2)
	{	printf("STEP 3 %s\n", 
			procname[n]);
		for (i = 1; i < m; i++)
		for (T0 = trans[n][i]; T0; T0 = T0->nxt)
			crack(n, i, T0, srcln);
		return;
	}
#ifdef HAS_UNLESS
	for (i = 1; i < m; i++)
	{	if (!trans[n][i]) continue;
		/* check for each state i if an
		 * escape to some state p is defined
		 * if so, copy and mark p's transitions
		 * and prepend them to the transition-
		 * list of state i
		 */
	 if (!like_java) /* the default */
	 {	for (T0 = trans[n][i]; T0; T0 = T0->nxt)
		for (k = HAS_UNLESS-1; k >= 0; k--)
		{	if (p = T0->escp[k])
			for (T1 = trans[n][p]; T1; T1 = T1->nxt)
			{	if (isthere(trans[n][i], T1->t_id))
					continue;
				T2 = cpytr(T1);
				T2->e_trans = p;
				T2->nxt = trans[n][i];
				trans[n][i] = T2;
		}	}
	 } else /* outermost unless checked first */
	 {	T4 = T3 = (Trans *) 0;
		for (T0 = trans[n][i]; T0; T0 = T0->nxt)
		for (k = HAS_UNLESS-1; k >= 0; k--)
		{	if (p = T0->escp[k])
			for (T1 = trans[n][p]; T1; T1 = T1->nxt)
			{	if (isthere(trans[n][i], T1->t_id))
					continue;
				T2 = cpytr(T1);
				T2->nxt = (Trans *) 0;
				T2->e_trans = p;
				if (T3)	T3->nxt = T2;
				else	T4 = T2;
				T3 = T2;
		}	}
		if (T4)
		{	T3->nxt = trans[n][i];
			trans[n][i] = T4;
		}
	 }
	}
#endif
#ifndef NOREDUCE
	for (i = 1; i < m; i++)
	{	if (a_cycles)
		{ /* moves through these states are visible */
	#if PROG_LAB>0 && defined(HAS_NP)
			if (progstate[n][i])
				goto degrade;
			for (T1 = trans[n][i]; T1; T1 = T1->nxt)
				if (progstate[n][T1->st])
					goto degrade;
	#endif
			if (accpstate[n][i] || visstate[n][i])
				goto degrade;
			for (T1 = trans[n][i]; T1; T1 = T1->nxt)
				if (accpstate[n][T1->st])
					goto degrade;
		}
		T1 = trans[n][i];
		if (!T1) continue;
		g = mark_safety(T1);	/* V3.3.1 */
		if (g < 0) goto degrade; /* global */
		/* check if mixing of guards preserves reduction */
		if (T1->nxt)
		{	k = 0;
			for (T0 = T1; T0; T0 = T0->nxt)
			{	if (!(T0->atom&8))
					goto degrade;
				for (aa = 0; aa < 2; aa++)
				{	j = srinc_set(T0->tpe[aa]);
					if (j >= GLOBAL && j != ALPHA_F)
						goto degrade;
					if (T0->tpe[aa]
					&&  T0->tpe[aa]
					!=  T1->tpe[0])
						k = 1;
			}	}
			/* g = 0;	V3.3.1 */
			if (k)	/* non-uniform selection */
			for (T0 = T1; T0; T0 = T0->nxt)
			for (aa = 0; aa < 2; aa++)
			{	j = srinc_set(T0->tpe[aa]);
				if (j != LOCAL)
				{	k = srunc(T0->tpe[aa], j);
					for (h = 0; h < 6; h++)
						if (T1->qu[h] == k
						&&  T1->ty[h] == j)
							break;
					if (h >= 6)
					{	T1->qu[g%6] = k;
						T1->ty[g%6] = j;
						g++;
			}	}	}
			if (g > 6)
			{	T1->qu[0] = 0;	/* turn it off */
				printf("pan: warning, line %d, ",
					srcln[i]);
			 	printf("too many stmnt types (%d)",
					g);
			  	printf(" in selection\n");
			  goto degrade;
			}
		}
		/* mark all options global if >=1 is global */
		for (T1 = trans[n][i]; T1; T1 = T1->nxt)
			if (!(T1->atom&8)) break;
		if (T1)
degrade:	for (T1 = trans[n][i]; T1; T1 = T1->nxt)
			T1->atom &= ~8;	/* mark as unsafe */
		/* can only mix 'r's or 's's if on same chan */
		/* and not mixed with other local operations */
		T1 = trans[n][i];
		if (!T1 || T1->qu[0]) continue;
		j = T1->tpe[0];
		if (T1->nxt && T1->atom&8)
		{ if (j == 5*DELTA)
		  {	printf("warning: line %d ", srcln[i]);
			printf("mixed condition ");
			printf("(defeats reduction)\n");
			goto degrade;
		  }
		  for (T0 = T1; T0; T0 = T0->nxt)
		  for (aa = 0; aa < 2; aa++)
		  if  (T0->tpe[aa] && T0->tpe[aa] != j)
		  {	printf("warning: line %d ", srcln[i]);
			printf("[%d-%d] mixed %stion ",
				T0->tpe[aa], j, 
				(j==5*DELTA)?"condi":"selec");
			printf("(defeats reduction)\n");
			printf("	'%s' <-> '%s'\n",
				T1->tp, T0->tp);
			goto degrade;
		} }
	}
#endif
	for (i = 1; i < m; i++)
	{	T2 = trans[n][i];
		if (!T2
		||  T2->nxt
		||  strncmp(T2->tp, ".(goto)", 7)
		||  !stopstate[n][i])
			continue;
		stopstate[n][T2->st] = 1;
	}
	if (state_tables && !verbose)
	{	if (dodot)
		{	char buf[256], *q = buf, *p = procname[n];
			while (*p != '\0')
			{	if (*p != ':')
				{	*q++ = *p;
				}
				p++;
			}
			*q = '\0';
			printf("digraph ");
			switch (Btypes[n]) {
			case I_PROC:  printf("init {\n"); break;
			case N_CLAIM: printf("claim_%s {\n", buf); break;
			case E_TRACE: printf("notrace {\n"); break;
			case N_TRACE: printf("trace {\n"); break;
			default:      printf("p_%s {\n", buf); break;
			}
			printf("size=\"8,10\";\n");
			printf("  GT [shape=box,style=dotted,label=\"%s\"];\n", buf);
			printf("  GT -> S%d;\n", is);
		} else
		{	switch (Btypes[n]) {
			case I_PROC:  printf("init\n"); break;
			case N_CLAIM: printf("claim %s\n", procname[n]); break;
			case E_TRACE: printf("notrace assertion\n"); break;
			case N_TRACE: printf("trace assertion\n"); break;
			default:      printf("proctype %s\n", procname[n]); break;
		}	}
		for (i = 1; i < m; i++)
		{	reach[i] = 1;
		}
		tagtable(n, m, is, srcln, reach);
		if (dodot) printf("}\n");
	} else
	for (i = 1; i < m; i++)
	{	int nrelse;
		if (Btypes[n] != N_CLAIM)
		{	for (T0 = trans[n][i]; T0; T0 = T0->nxt)
			{	if (T0->st == i
				&& strcmp(T0->tp, "(1)") == 0)
				{	printf("error: proctype '%s' ",
						procname[n]);
		  			printf("line %d, state %d: has un",
						srcln[i], i);
					printf("conditional self-loop\n");
					pan_exit(1);
		}	}	}
		nrelse = 0;
		for (T0 = trans[n][i]; T0; T0 = T0->nxt)
		{	if (strcmp(T0->tp, "else") == 0)
				nrelse++;
		}
		if (nrelse > 1)
		{	printf("error: proctype '%s' state",
				procname[n]);
		  	printf(" %d, inherits %d", i, nrelse);
		  	printf(" 'else' stmnts\n");
			pan_exit(1);
	}	}
#if !defined(LOOPSTATE) && !defined(BFS_PAR)
	if (state_tables)
#endif
	do_dfs(n, m, is, srcln, reach, lpstate);

	if (!t_reverse)
	{	return;
	}
	/* process n, with m states, is=initial state -- reverse list */
	if (!state_tables && Btypes[n] != N_CLAIM)
	{	for (i = 1; i < m; i++)
		{	Trans *Tx = (Trans *) 0; /* list of escapes */
			Trans *Ty = (Trans *) 0; /* its tail element */
			T1 = (Trans *) 0; /* reversed list */
			T2 = (Trans *) 0; /* its tail */
			T3 = (Trans *) 0; /* remembers possible 'else' */

			/* find unless-escapes, they should go first */
			T4 = T5 = T0 = trans[n][i];
	#ifdef HAS_UNLESS
			while (T4 && T4->e_trans) /* escapes are first in orig list */
			{	T5 = T4;	  /* remember predecessor */
				T4 = T4->nxt;
			}
	#endif
			/* T4 points to first non-escape, T5 to its parent, T0 to original list */
			if (T4 != T0)		 /* there was at least one escape */
			{	T3 = T5->nxt;		 /* start of non-escapes */
				T5->nxt = (Trans *) 0;	 /* separate */
				Tx = T0;		 /* start of the escapes */
				Ty = T5;		 /* its tail */
				T0 = T3;		 /* the rest, to be reversed */
			}
			/* T0 points to first non-escape, Tx to the list of escapes, Ty to its tail */

			/* first tail-add non-escape transitions, reversed */
			T3 = (Trans *) 0;
			for (T5 = T0; T5; T5 = T4)
			{	T4 = T5->nxt;
	#ifdef HAS_UNLESS
				if (T5->e_trans)
				{	printf("error: cannot happen!\n");
					continue;
				}
	#endif
				if (strcmp(T5->tp, "else") == 0)
				{	T3 = T5;
					T5->nxt = (Trans *) 0;
				} else
				{	T5->nxt = T1;
					if (!T1) { T2 = T5; }
					T1 = T5;
			}	}
			/* T3 points to a possible else, which is removed from the list */
			/* T1 points to the reversed list so far (without escapes) */
			/* T2 points to the tail element -- where the else should go */
			if (T2 && T3)
			{	T2->nxt = T3;	/* add else */
			} else
			{	if (T3) /* there was an else, but there's no tail */
				{	if (!T1)	/* and no reversed list */
					{	T1 = T3; /* odd, but possible */
					} else		/* even stranger */
					{	T1->nxt = T3;
			}	}	}

			/* add in the escapes, to that they appear at the front */
			if (Tx && Ty) { Ty->nxt = T1; T1 = Tx; }

			trans[n][i] = T1;
			/* reversed, with escapes first and else last */
	}	}
	if (state_tables && verbose)
	{	printf("FINAL proctype %s\n", 
			procname[n]);
		for (i = 1; i < m; i++)
		for (T0 = trans[n][i]; T0; T0 = T0->nxt)
			crack(n, i, T0, srcln);
	}
}
void
imed(Trans *T, int v, int n, int j)	/* set intermediate state */
{	progstate[n][T->st] |= progstate[n][v];
	accpstate[n][T->st] |= accpstate[n][v];
	stopstate[n][T->st] |= stopstate[n][v];
	mapstate[n][j] = T->st;
}
void
tagtable(int n, int m, int is, short srcln[], uchar reach[])
{	Trans *z;

	if (is >= m || !trans[n][is]
	||  is <= 0 || reach[is] == 0)
		return;
	reach[is] = 0;
	if (state_tables)
	for (z = trans[n][is]; z; z = z->nxt)
	{	if (dodot)
			dot_crack(n, is, z);
		else
			crack(n, is, z, srcln);
	}

	for (z = trans[n][is]; z; z = z->nxt)
	{
#ifdef HAS_UNLESS
		int i, j;
#endif
		tagtable(n, m, z->st, srcln, reach);
#ifdef HAS_UNLESS
		for (i = 0; i < HAS_UNLESS; i++)
		{	j = trans[n][is]->escp[i];
			if (!j) break;
			tagtable(n, m, j, srcln, reach);
		}
#endif
	}
}

extern Trans *t_id_lkup[];

void
dfs_table(int n, int m, int is, short srcln[], uchar reach[], uchar lpstate[])
{	Trans *z;

	if (is >= m || is <= 0 || !trans[n][is])
		return;
	if ((reach[is] & (4|8|16)) != 0)
	{	if ((reach[is] & (8|16)) == 16)	/* on stack, not yet recorded */
		{	lpstate[is] = 1;
			reach[is] |= 8; /* recorded */
			if (state_tables && verbose)
			{	printf("state %d line %d is a loopstate\n", is, srcln[is]);
		}	}
		return;
	}
	reach[is] |= (4|16);	/* visited | onstack */
	for (z = trans[n][is]; z; z = z->nxt)
	{	t_id_lkup[z->t_id] = z;
#ifdef HAS_UNLESS
		int i, j;
#endif
		dfs_table(n, m, z->st, srcln, reach, lpstate);
#ifdef HAS_UNLESS
		for (i = 0; i < HAS_UNLESS; i++)
		{	j = trans[n][is]->escp[i];
			if (!j) break;
			dfs_table(n, m, j, srcln, reach, lpstate);
		}
#endif
	}
	reach[is] &= ~16; /* no longer on stack */
}
void
do_dfs(int n, int m, int is, short srcln[], uchar reach[], uchar lpstate[])
{	int i;
	dfs_table(n, m, is, srcln, reach, lpstate);
	for (i = 0; i < m; i++)
		reach[i] &= ~(4|8|16);
}
void
crack(int n, int j, Trans *z, short srcln[])
{	int i;

	if (!z) return;
	printf("	state %3d -(tr %3d)-> state %3d  ",
		j, z->forw, z->st);
	printf("[id %3d tp %3d", z->t_id, z->tpe[0]);
	if (z->tpe[1]) printf(",%d", z->tpe[1]);
#ifdef HAS_UNLESS
	if (z->e_trans)
		printf(" org %3d", z->e_trans);
	else if (state_tables >= 2)
	for (i = 0; i < HAS_UNLESS; i++)
	{	if (!z->escp[i]) break;
		printf(" esc %d", z->escp[i]);
	}
#endif
	printf("]");
	printf(" [%s%s%s%s%s] %s:%d => ",
		z->atom&6?"A":z->atom&32?"D":"-",
		accpstate[n][j]?"a" :"-",
		stopstate[n][j]?"e" : "-",
		progstate[n][j]?"p" : "-",
		z->atom & 8 ?"L":"G",
		PanSource, srcln[j]);
	for (i = 0; z->tp[i]; i++)
		if (z->tp[i] == '\n')
			printf("\\n");
		else
			putchar(z->tp[i]);
	if (verbose && z->qu[0])
	{	printf("\t[");
		for (i = 0; i < 6; i++)
			if (z->qu[i])
				printf("(%d,%d)",
				z->qu[i], z->ty[i]);
		printf("]");
	}
	printf("\n");
	fflush(stdout);
}
/* spin -a m.pml; cc -o pan pan.c; ./pan -D | dot -Tps > foo.ps; ps2pdf foo.ps */
void
dot_crack(int n, int j, Trans *z)
{	int i;

	if (!z) return;
	printf("	S%d -> S%d  [color=black", j, z->st);

	if (z->atom&6) printf(",style=dashed");
	else if (z->atom&32) printf(",style=dotted");
	else if (z->atom&8) printf(",style=solid");
	else printf(",style=bold");

	printf(",label=\"");
	for (i = 0; z->tp[i]; i++)
	{	if (z->tp[i] == '\\'
		&&  z->tp[i+1] == 'n')
		{	i++; printf(" ");
		} else
		{	putchar(z->tp[i]);
	}	}
	printf("\"];\n");
	if (accpstate[n][j]) printf("  S%d [color=red,style=bold];\n", j);
	else if (progstate[n][j]) printf("  S%d [color=green,style=bold];\n", j);
	if (stopstate[n][j]) printf("  S%d [color=blue,style=bold,shape=box];\n", j);
}

#ifdef VAR_RANGES
#define BYTESIZE	32	/* 2^8 : 2^3 = 256:8 = 32 */

typedef struct Vr_Ptr {
	char	*nm;
	uchar	vals[BYTESIZE];
	struct Vr_Ptr *nxt;
} Vr_Ptr;
Vr_Ptr *ranges = (Vr_Ptr *) 0;

void
logval(char *s, int v)
{	Vr_Ptr *tmp;

	if (v<0 || v > 255) return;
	for (tmp = ranges; tmp; tmp = tmp->nxt)
		if (!strcmp(tmp->nm, s))
			goto found;
	tmp = (Vr_Ptr *) emalloc(sizeof(Vr_Ptr));
	tmp->nxt = ranges;
	ranges = tmp;
	tmp->nm = s;
found:
	tmp->vals[(v)/8] |= 1<<((v)%8);
}

void
dumpval(uchar X[], int range)
{	int w, x, i, j = -1;

	for (w = i = 0; w < range; w++)
	for (x = 0; x < 8; x++, i++)
	{
from:		if ((X[w] & (1<<x)))
		{	printf("%d", i);
			j = i;
			goto upto;
	}	}
	return;
	for (w = 0; w < range; w++)
	for (x = 0; x < 8; x++, i++)
	{
upto:		if (!(X[w] & (1<<x)))
		{	if (i-1 == j)
				printf(", ");
			else
				printf("-%d, ", i-1);
			goto from;
	}	}
	if (j >= 0 && j != 255)
		printf("-255");
}

void
dumpranges(void)
{	Vr_Ptr *tmp;
	printf("\nValues assigned within ");
	printf("interval [0..255]:\n");
	for (tmp = ranges; tmp; tmp = tmp->nxt)
	{	printf("\t%s\t: ", tmp->nm);
		dumpval(tmp->vals, BYTESIZE);
		printf("\n");
	}
}
#endif
